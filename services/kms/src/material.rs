//! Key material: random bytes that never leave this crate, each in a record of its own.
//!
//! The record is sealed like every record, and within it the bytes are sealed once more in a domain of their own, bound to key, spec
//! and material id: what reads records (backups, the change feed, the console) still sees no key material.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring::{Domain, Keyring};
use plane::{ApiError, Call, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use zeroize::Zeroizing;

use crate::ciphertext::{ID_BYTES, derive};
use crate::key::KmsKey;

const ID_LABEL: &[u8] = b"bailiwick kms material id v1";

/// One material of a key, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MaterialRecord {
    /// Base64.
    sealed: String,
    /// The id of what `sealed` opens to, once it was derived: it stays the same as long as the bytes do, and the opened record is kept with them.
    #[serde(skip)]
    derived_id: OnceLock<String>,
}

impl Record for MaterialRecord {
    const TABLE: Table = Table("kms_material");
    const SCOPE: Scope = Scope::Region;
    /// What it holds is sealed once more.
    const HOLDS_SECRETS: bool = false;
}

/// Opened material, wiped when dropped.
pub(crate) struct Material {
    /// 64 hexadecimal digits, derived from the material itself: an id cannot stand before other material.
    pub id: String,
    pub secret: Zeroizing<Vec<u8>>,
}

impl Material {
    /// The part of the id that a ciphertext blob carries.
    pub(crate) fn short_id(&self) -> Result<[u8; ID_BYTES], ApiError> {
        short_id(&self.id).ok_or_else(|| ApiError::internal(&"a material id is not hexadecimal"))
    }
}

pub(crate) fn short_id(id: &str) -> Option<[u8; ID_BYTES]> {
    hex::decode(id).ok()?.first_chunk().copied()
}

fn id_of(key_id: &str, secret: &[u8]) -> Result<String, ApiError> {
    let id = derive(secret, &[ID_LABEL, key_id.as_bytes()].concat()).map_err(|error| ApiError::internal(&error))?;
    Ok(hex::encode(id.as_ref()))
}

fn place(account: &str, region: &str, key_id: &str, material_id: &str) -> Key {
    Key::new(account, region).then(key_id).last(material_id)
}

fn domain<'a>(account: &'a str, region: &'a str) -> Domain<'a> {
    Domain::new("kms-material", account, region)
}

fn associated_data(key: &KmsKey, material_id: &str) -> Vec<u8> {
    [key.id.as_str(), key.spec.name(), material_id].join("\0").into_bytes()
}

/// Makes material for a key and puts its record. Gives the material's id.
pub(crate) fn generate(plane: &Plane, tx: &mut Transaction, region: &str, key: &KmsKey) -> Result<String, ApiError> {
    let mut secret = Zeroizing::new(vec![0; key.spec.material_bytes()]);
    plane.randomness.fill(&mut secret).map_err(|error| ApiError::internal(&error))?;
    let id = id_of(&key.id, &secret)?;
    let sealed = plane
        .keyring
        .seal(&domain(&key.account, region), &associated_data(key, &id), &secret)
        .map_err(|error| ApiError::internal(&error))?;
    tx.put(&place(&key.account, region, &key.id, &id), &MaterialRecord { sealed: STANDARD.encode(sealed), derived_id: OnceLock::new() })?;
    Ok(id)
}

/// Opens one material of a key.
pub(crate) async fn open(cx: &mut Call, key: &KmsKey, material_id: &str) -> Result<Material, ApiError> {
    let region = cx.region.clone();
    let record = cx.tx.look_at::<MaterialRecord>(&place(&key.account, &region, &key.id, material_id)).await?;
    let record = record.ok_or_else(|| ApiError::internal(&format!("the material `{material_id}` of the key `{}` is missing", key.id)))?;
    let secret = unseal(&cx.plane.keyring, &region, key, material_id, &record)?;
    let id = if let Some(id) = record.derived_id.get() {
        id
    } else {
        let id = id_of(&key.id, &secret)?;
        record.derived_id.get_or_init(|| id)
    };
    if id != material_id {
        return Err(ApiError::internal(&format!("the material `{material_id}` of the key `{}` is not what its id says", key.id)));
    }
    Ok(Material { id: material_id.to_owned(), secret })
}

fn unseal(
    keyring: &Keyring,
    region: &str,
    key: &KmsKey,
    material_id: &str,
    record: &MaterialRecord,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let sealed = STANDARD.decode(&record.sealed).map_err(|error| ApiError::internal(&error))?;
    keyring
        .open_record(&domain(&key.account, region), &associated_data(key, material_id), &sealed)
        .map_err(|error| ApiError::internal(&error))
}

/// Deletes all material of a key for good.
pub(crate) fn delete(tx: &mut Transaction, region: &str, key: &KmsKey) {
    for material in &key.materials {
        tx.delete::<MaterialRecord>(&place(&key.account, region, &key.id, &material.id));
    }
}
