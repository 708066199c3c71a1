//! MFA devices: virtual ones, of users and of the root user.
//!
//! Hardware tokens and passkeys are not made here: a serial number that no virtual device has is not found.
//!
//! Source: IAM API Reference, "CreateVirtualMFADevice", "EnableMFADevice", "ResyncMFADevice"; IAM User Guide, "AWS Multi-factor
//! authentication in IAM".

use api_iam::{
    AssignmentStatusType, CreateVirtualMFADeviceInput, CreateVirtualMFADeviceOutput, DeactivateMFADeviceInput, DeactivateMFADeviceOutput,
    DeleteVirtualMFADeviceInput, DeleteVirtualMFADeviceOutput, EnableMFADeviceInput, EnableMFADeviceOutput, GetMFADeviceInput,
    GetMFADeviceOutput, ListMFADeviceTagsInput, ListMFADeviceTagsOutput, ListMFADevicesInput, ListMFADevicesOutput,
    ListVirtualMFADevicesInput, ListVirtualMFADevicesOutput, MFADevice, ResyncMFADeviceInput, ResyncMFADeviceOutput, TagMFADeviceInput,
    TagMFADeviceOutput, UntagMFADeviceInput, UntagMFADeviceOutput, User, VirtualMFADevice,
};
use plane::{ApiError, Call, Key, PrincipalKind, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use crate::account;
use crate::entity::{self, EntityKind, UserRecord, tagged};
use crate::error::{IamError, quota_exceeded};
use crate::service_specific_credential::user_of;
use crate::{identifier, page, qr_code, tags, totp, user};

/// Of one user. Source: IAM User Guide, "IAM and AWS STS quotas".
const PER_USER: usize = 8;
/// Bytes of a seed: 64 characters of base32.
const SEED_BYTES: usize = 40;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A virtual device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MfaDeviceRecord {
    pub serial: String,
    pub name: String,
    /// Base32.
    pub seed: String,
    pub created_ms: i64,
    pub tags: Vec<(String, String)>,
    /// Unique id of the user, or the account's id for root.
    pub owner_id: Option<String>,
    pub enabled_ms: Option<i64>,
    /// By how many steps the device's clock is off.
    pub drift: i64,
    /// A code is good once.
    pub last_step: i64,
}

impl Record for MfaDeviceRecord {
    const TABLE: Table = Table("iam.mfa-device");
    const SCOPE: Scope = Scope::Home;
}

tagged!(MfaDeviceRecord);

fn key(account: &str, serial: &str) -> Key {
    Key::new(account, "").last(serial)
}

fn save(tx: &mut Transaction, account: &str, record: &MfaDeviceRecord) -> Result<(), ApiError> {
    tx.put(&key(account, &record.serial), record)
}

/// The device of a serial number.
pub(crate) async fn find(tx: &mut Transaction, account: &str, serial: &str) -> Result<Option<MfaDeviceRecord>, ApiError> {
    tx.get(&key(account, serial)).await
}

async fn load(cx: &mut Call, serial: &str) -> Result<MfaDeviceRecord, ApiError> {
    find(&mut cx.tx, &cx.account, serial).await?.ok_or_else(|| no_such_device(serial))
}

fn no_such_device(serial: &str) -> ApiError {
    IamError::NoSuchEntity(format!("VirtualMFADevice with serial number {serial} doesn't exist.")).into()
}

fn wrong_code() -> ApiError {
    IamError::InvalidAuthenticationCode("Authentication code for device is not valid.".to_owned()).into()
}

/// All devices of an account, in order of their serial numbers.
pub(crate) async fn all(tx: &mut Transaction, account: &str) -> Result<Vec<MfaDeviceRecord>, ApiError> {
    let rows = tx.scan::<MfaDeviceRecord>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

/// The enabled devices of a user (by its unique id) or of root (by the account's id).
pub(crate) async fn of_owner(tx: &mut Transaction, account: &str, owner_id: &str) -> Result<Vec<MfaDeviceRecord>, ApiError> {
    let mut devices = all(tx, account).await?;
    devices.retain(|device| device.owner_id.as_deref() == Some(owner_id));
    Ok(devices)
}

/// What proving a second factor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MfaProof {
    Proved,
    /// The device is not one of the caller's.
    UnknownDevice,
    WrongCode,
}

/// Checks a code of an owner's device and uses it up: it is written with the call, so that no other call can use it again.
pub async fn prove(
    tx: &mut Transaction,
    account: &str,
    owner_id: &str,
    serial: &str,
    code: &str,
    now_ms: i64,
) -> Result<MfaProof, ApiError> {
    let found = find(tx, account, serial).await?.filter(|device| device.owner_id.as_deref() == Some(owner_id));
    let Some(mut device) = found else { return Ok(MfaProof::UnknownDevice) };
    match totp::verify(&seed_bytes(&device.seed), code, now_ms, device.drift, device.last_step) {
        Some(step) => {
            device.last_step = step;
            save(tx, account, &device)?;
            Ok(MfaProof::Proved)
        }
        None => Ok(MfaProof::WrongCode),
    }
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(8).div_ceil(5));
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = ((buffer << 8) | u32::from(*byte)) & 0xFFFF;
        bits = bits.saturating_add(8);
        while bits >= 5 {
            bits = bits.saturating_sub(5);
            let index = usize::try_from((buffer >> bits) & 31).unwrap_or_default();
            text.push(char::from(BASE32.get(index).copied().unwrap_or_default()));
        }
    }
    text
}

fn seed_bytes(seed: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEED_BYTES);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for character in seed.bytes() {
        let Some(value) = BASE32.iter().position(|known| *known == character).and_then(|at| u32::try_from(at).ok()) else { continue };
        buffer = ((buffer << 5) | value) & 0xFFFF;
        bits = bits.saturating_add(5);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.push(u8::try_from((buffer >> bits) & 0xFF).unwrap_or_default());
        }
    }
    bytes
}

pub(crate) async fn create_virtual_mfa_device(
    cx: &mut Call,
    input: CreateVirtualMFADeviceInput,
) -> Result<CreateVirtualMFADeviceOutput, ApiError> {
    let tags = tags::from_input(input.tags)?;
    let name = input.virtual_mfa_device_name;
    let serial = identifier::arn(&cx.account, "mfa", input.path.as_deref().unwrap_or("/"), &name);
    if find(&mut cx.tx, &cx.account, &serial).await?.is_some() {
        return Err(IamError::EntityAlreadyExists("MFADevice entity at the same path and name already exists.".to_owned()).into());
    }
    let mut bytes = [0_u8; SEED_BYTES];
    cx.random(&mut bytes)?;
    let seed = base32(&bytes);
    let picture = qr_code::png(&format!("otpauth://totp/{name}@{}?secret={seed}", cx.account))?;
    let record = MfaDeviceRecord {
        serial: serial.clone(),
        name,
        seed: seed.clone(),
        created_ms: cx.now.0,
        tags,
        owner_id: None,
        enabled_ms: None,
        drift: 0,
        last_step: 0,
    };
    save(&mut cx.tx, &cx.account, &record)?;
    Ok(CreateVirtualMFADeviceOutput {
        virtual_mfa_device: VirtualMFADevice {
            serial_number: serial,
            base32_string_seed: Some(Secret::new(seed.into_bytes().into())),
            qr_code_png: Some(Secret::new(picture.into())),
            tags: tags::to_output(&record.tags),
            ..VirtualMFADevice::default()
        },
    })
}

/// Whose devices a call is about: the named user's, or root's when the name is the account's root.
enum Owner {
    Root(String),
    User(Box<UserRecord>),
}

impl Owner {
    async fn of(cx: &mut Call, user_name: Option<&str>) -> Result<Self, ApiError> {
        if cx.principal.kind == PrincipalKind::Root && user_name.is_none_or(|name| name == "root") {
            return Ok(Self::Root(cx.account.clone()));
        }
        Ok(Self::User(Box::new(user_of(cx, user_name).await?)))
    }

    fn id(&self) -> &str {
        match self {
            Self::Root(account) => account,
            Self::User(user) => &user.head.id,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Root(_) => "root",
            Self::User(user) => &user.head.name,
        }
    }
}

async fn load_of(cx: &mut Call, owner: &Owner, serial: &str) -> Result<MfaDeviceRecord, ApiError> {
    let found = find(&mut cx.tx, &cx.account, serial).await?.filter(|device| device.owner_id.as_deref() == Some(owner.id()));
    found.ok_or_else(|| {
        IamError::NoSuchEntity(format!("MFA Device with serial number {serial} is not assigned to user {}.", owner.name())).into()
    })
}

pub(crate) async fn enable_mfa_device(cx: &mut Call, input: EnableMFADeviceInput) -> Result<EnableMFADeviceOutput, ApiError> {
    let owner = Owner::of(cx, Some(&input.user_name)).await?;
    let mut device = load(cx, &input.serial_number).await?;
    if device.owner_id.is_some() {
        return Err(IamError::EntityAlreadyExists("MFA Device is already in use.".to_owned()).into());
    }
    if of_owner(&mut cx.tx, &cx.account, owner.id()).await?.len() >= PER_USER {
        return Err(quota_exceeded("MFADevicesPerUser", PER_USER));
    }
    synchronize(cx, &mut device, &input.authentication_code1, &input.authentication_code2)?;
    device.owner_id = Some(owner.id().to_owned());
    device.enabled_ms = Some(cx.now.0);
    save(&mut cx.tx, &cx.account, &device)?;
    Ok(EnableMFADeviceOutput {})
}

fn synchronize(cx: &Call, device: &mut MfaDeviceRecord, first: &str, second: &str) -> Result<(), ApiError> {
    let step = totp::synchronize(&seed_bytes(&device.seed), first, second, cx.now.0, device.last_step).ok_or_else(wrong_code)?;
    device.last_step = step;
    // A code that was typed right before the next one appeared is no sign of a wrong clock.
    let off = step.saturating_sub(totp::step(cx.now.0));
    device.drift = if off.abs() <= 1 { 0 } else { off };
    Ok(())
}

pub(crate) async fn resync_mfa_device(cx: &mut Call, input: ResyncMFADeviceInput) -> Result<ResyncMFADeviceOutput, ApiError> {
    let owner = Owner::of(cx, Some(&input.user_name)).await?;
    let mut device = load_of(cx, &owner, &input.serial_number).await?;
    synchronize(cx, &mut device, &input.authentication_code1, &input.authentication_code2)?;
    save(&mut cx.tx, &cx.account, &device)?;
    Ok(ResyncMFADeviceOutput {})
}

pub(crate) async fn deactivate_mfa_device(cx: &mut Call, input: DeactivateMFADeviceInput) -> Result<DeactivateMFADeviceOutput, ApiError> {
    let owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let mut device = load_of(cx, &owner, &input.serial_number).await?;
    device.owner_id = None;
    device.enabled_ms = None;
    save(&mut cx.tx, &cx.account, &device)?;
    Ok(DeactivateMFADeviceOutput {})
}

pub(crate) async fn delete_virtual_mfa_device(
    cx: &mut Call,
    input: DeleteVirtualMFADeviceInput,
) -> Result<DeleteVirtualMFADeviceOutput, ApiError> {
    let device = load(cx, &input.serial_number).await?;
    if device.owner_id.is_some() {
        return Err(IamError::DeleteConflict("MFA VirtualDevice in use. Must deactivate first.".to_owned()).into());
    }
    cx.tx.delete::<MfaDeviceRecord>(&key(&cx.account, &device.serial));
    Ok(DeleteVirtualMFADeviceOutput {})
}

pub(crate) async fn get_mfa_device(cx: &mut Call, input: GetMFADeviceInput) -> Result<GetMFADeviceOutput, ApiError> {
    let owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let device = load_of(cx, &owner, &input.serial_number).await?;
    Ok(GetMFADeviceOutput {
        user_name: Some(owner.name().to_owned()),
        serial_number: device.serial,
        enable_date: device.enabled_ms.map(Timestamp),
        ..GetMFADeviceOutput::default()
    })
}

pub(crate) async fn list_mfa_devices(cx: &mut Call, input: ListMFADevicesInput) -> Result<ListMFADevicesOutput, ApiError> {
    let owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let devices = of_owner(&mut cx.tx, &cx.account, owner.id()).await?;
    let shown = |device: &MfaDeviceRecord| MFADevice {
        user_name: owner.name().to_owned(),
        serial_number: device.serial.clone(),
        enable_date: Timestamp(device.enabled_ms.unwrap_or(device.created_ms)),
    };
    let page = page::cut(cx, devices, |device| device.serial.clone(), owner.id(), input.marker.as_deref(), input.max_items)?;
    Ok(ListMFADevicesOutput {
        mfa_devices: page.items.iter().map(shown).collect(),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

pub(crate) async fn list_virtual_mfa_devices(
    cx: &mut Call,
    input: ListVirtualMFADevicesInput,
) -> Result<ListVirtualMFADevicesOutput, ApiError> {
    let status = input.assignment_status.unwrap_or(AssignmentStatusType::Any);
    let mut devices = all(&mut cx.tx, &cx.account).await?;
    devices.retain(|device| match status {
        AssignmentStatusType::Assigned => device.owner_id.is_some(),
        AssignmentStatusType::Unassigned => device.owner_id.is_none(),
        _ => true,
    });
    let filter = format!("{status:?}");
    let page = page::cut(cx, devices, |device| device.serial.clone(), &filter, input.marker.as_deref(), input.max_items)?;
    let mut shown = Vec::with_capacity(page.items.len());
    for device in page.items {
        let user = match &device.owner_id {
            Some(owner) => holder(cx, owner).await?,
            None => None,
        };
        shown.push(VirtualMFADevice {
            serial_number: device.serial,
            user,
            enable_date: device.enabled_ms.map(Timestamp),
            ..VirtualMFADevice::default()
        });
    }
    Ok(ListVirtualMFADevicesOutput { virtual_mfa_devices: shown, is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// The user that a device is assigned to, as lists show it.
async fn holder(cx: &mut Call, owner_id: &str) -> Result<Option<User>, ApiError> {
    if owner_id == cx.account {
        let account = account::load(&mut cx.tx, &cx.account).await?;
        return Ok(Some(User {
            user_id: account.id.clone(),
            arn: identifier::root_arn(&account.id),
            create_date: Timestamp(account.created_ms),
            ..User::default()
        }));
    }
    let Some(at) = entity::by_id(&mut cx.tx, owner_id).await?.filter(|at| at.kind == EntityKind::User) else { return Ok(None) };
    let found = entity::find::<UserRecord>(&mut cx.tx, &cx.account, &at.name).await?;
    Ok(found.map(|found| user::summary(&cx.account, &found)))
}

pub(crate) async fn tag_mfa_device(cx: &mut Call, input: TagMFADeviceInput) -> Result<TagMFADeviceOutput, ApiError> {
    let mut device = load(cx, &input.serial_number).await?;
    tags::merge(&mut device.tags, input.tags)?;
    save(&mut cx.tx, &cx.account, &device)?;
    Ok(TagMFADeviceOutput {})
}

pub(crate) async fn untag_mfa_device(cx: &mut Call, input: UntagMFADeviceInput) -> Result<UntagMFADeviceOutput, ApiError> {
    let mut device = load(cx, &input.serial_number).await?;
    tags::remove(&mut device.tags, &input.tag_keys);
    save(&mut cx.tx, &cx.account, &device)?;
    Ok(UntagMFADeviceOutput {})
}

pub(crate) async fn list_mfa_device_tags(cx: &mut Call, input: ListMFADeviceTagsInput) -> Result<ListMFADeviceTagsOutput, ApiError> {
    let device = load(cx, &input.serial_number).await?;
    let page = tags::cut(cx, &device, &input.serial_number, input.marker.as_deref(), input.max_items)?;
    Ok(ListMFADeviceTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_seed_is_read_as_it_was_written(bytes in any::<[u8; SEED_BYTES]>()) {
            let seed = base32(&bytes);
            prop_assert_eq!(seed.len(), 64);
            prop_assert_eq!(seed_bytes(&seed), bytes);
        }
    }
}
