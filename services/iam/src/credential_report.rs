//! The credential report: a table of all users with the state of their credentials.
//!
//! Each `GenerateCredentialReport` makes a new one at once; AWS may give one of the last four hours.
//!
//! Source: IAM User Guide, "Generate credential reports for your AWS account".

use api_iam::{
    GenerateCredentialReportInput, GenerateCredentialReportOutput, GetCredentialReportInput, GetCredentialReportOutput, ReportFormatType,
    ReportStateType,
};
use plane::clock::iso8601_s;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::{self, Entity, UserRecord};
use crate::error::IamError;
use crate::key_use::{LastUse, last_use};
use crate::login_profile::{self, LoginProfileRecord};
use crate::password::{self, PasswordPolicyRecord};
use crate::{access_key, account, identifier, mfa_device, signing_certificate};

/// A report is good for this long.
const LIFETIME_MS: i64 = 4 * 3600 * 1000;

const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,\
access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,\
cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

/// The newest report of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReportRecord {
    generated_ms: i64,
    content: String,
}

impl Record for ReportRecord {
    const TABLE: Table = Table("iam.credential-report");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str) -> Key {
    Key::new(account, "").last("report")
}

/// State of one access key.
struct KeyState {
    active: bool,
    created_ms: i64,
    last_use: Option<LastUse>,
}

fn time(at_ms: i64) -> String {
    iso8601_s(at_ms).replace('Z', "+00:00")
}

/// A value as CSV has it: names may have commas.
fn field(value: &str) -> String {
    if value.contains([',', '"', '\n']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

/// Whom a line is about.
struct Who<'a> {
    name: &'a str,
    arn: &'a str,
    created_ms: i64,
}

/// One line: who, the four password columns, and the keys.
fn line(who: &Who<'_>, password: [String; 4], mfa: bool, keys: &[KeyState], certificates: &[(bool, i64)]) -> String {
    let mut fields = vec![field(who.name), field(who.arn), time(who.created_ms)];
    fields.extend(password);
    fields.push(mfa.to_string());
    let not_applicable = || "N/A".to_owned();
    for at in 0..access_key::PER_USER {
        let state = keys.get(at);
        let last_use = state.and_then(|state| state.last_use.as_ref());
        fields.push(state.is_some_and(|state| state.active).to_string());
        fields.push(state.map_or_else(not_applicable, |state| time(state.created_ms)));
        fields.push(last_use.map_or_else(not_applicable, |last| time(last.at_ms)));
        fields.push(last_use.map_or_else(not_applicable, |last| last.region.clone()));
        fields.push(last_use.map_or_else(not_applicable, |last| last.service.clone()));
    }
    for at in 0..signing_certificate::PER_USER {
        let certificate = certificates.get(at);
        fields.push(certificate.is_some_and(|(active, _)| *active).to_string());
        fields.push(certificate.map_or_else(not_applicable, |(_, uploaded_ms)| time(*uploaded_ms)));
    }
    fields.join(",")
}

/// The four columns of a password: whether there is one, its last use, its last change, and its end.
fn passwords(profile: Option<&LoginProfileRecord>, used_ms: Option<i64>, policy: Option<&PasswordPolicyRecord>) -> [String; 4] {
    let Some(profile) = profile else { return ["false", "N/A", "N/A", "N/A"].map(str::to_owned) };
    let end = password::expires_ms(policy, profile.changed_ms).map_or_else(|| "N/A".to_owned(), time);
    ["true".to_owned(), used_ms.map_or_else(|| "no_information".to_owned(), time), time(profile.changed_ms), end]
}

async fn keys(cx: &mut Call, ids: &[String]) -> Result<Vec<KeyState>, ApiError> {
    let mut keys = Vec::new();
    for id in ids {
        if let Some(record) = access_key::find(&mut cx.tx, id).await? {
            keys.push(KeyState { active: record.active, created_ms: record.created_ms, last_use: last_use(cx, id).await? });
        }
    }
    Ok(keys)
}

pub(crate) async fn generate_credential_report(
    cx: &mut Call,
    _input: GenerateCredentialReportInput,
) -> Result<GenerateCredentialReportOutput, ApiError> {
    let account = account::load(&mut cx.tx, &cx.account).await?;
    let root_keys = keys(cx, &account.access_key_ids).await?;
    let root_password = ["not_supported", "no_information", "not_supported", "not_supported"].map(str::to_owned);
    let root_arn = identifier::root_arn(&account.id);
    let root = Who { name: "<root_account>", arn: &root_arn, created_ms: account.created_ms };
    let devices = mfa_device::all(&mut cx.tx, &cx.account).await?;
    let has_device = |owner_id: &String| devices.iter().any(|device| device.owner_id.as_ref() == Some(owner_id));
    let policy = password::policy(&mut cx.tx, &cx.account).await?;
    let mut lines = vec![HEADER.to_owned()];
    lines.push(line(&root, root_password, has_device(&account.id), &root_keys, &[]));
    for user in entity::all::<UserRecord>(&mut cx.tx, &cx.account).await? {
        let keys = keys(cx, &user.access_key_ids).await?;
        let (owner, id) = (cx.account.clone(), &user.head.id);
        let profile = login_profile::find(&mut cx.tx, &owner, id).await?;
        let certificates = signing_certificate::all_of(&mut cx.tx, &owner, id).await?;
        let certificates: Vec<(bool, i64)> = certificates.iter().map(|known| (known.active, known.uploaded_ms)).collect();
        let used_ms = last_use(cx, id).await?.map(|last| last.at_ms);
        let arn = user.arn(&cx.account);
        let who = Who { name: &user.head.name, arn: &arn, created_ms: user.head.created_ms };
        lines.push(line(&who, passwords(profile.as_ref(), used_ms, policy.as_ref()), has_device(id), &keys, &certificates));
    }
    let report = ReportRecord { generated_ms: cx.now.0, content: lines.join("\n") };
    cx.tx.put(&key(&cx.account), &report)?;
    Ok(GenerateCredentialReportOutput { state: Some(ReportStateType::Complete), description: None })
}

pub(crate) async fn get_credential_report(cx: &mut Call, _input: GetCredentialReportInput) -> Result<GetCredentialReportOutput, ApiError> {
    let report = cx.tx.get::<ReportRecord>(&key(&cx.account)).await?;
    let report = report.ok_or_else(|| IamError::ReportNotPresent("No credential report has been generated.".to_owned()))?;
    if cx.now.0.saturating_sub(report.generated_ms) > LIFETIME_MS {
        return Err(IamError::ReportExpired("The credential report is older than four hours. Generate a new one.".to_owned()).into());
    }
    Ok(GetCredentialReportOutput {
        content: Some(report.content.into_bytes().into()),
        report_format: Some(ReportFormatType::TextCsv),
        generated_time: Some(Timestamp(report.generated_ms)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_the_columns_of_the_header() {
        let used = LastUse { at_ms: 0, service: "s3".to_owned(), region: "eu-central-1".to_owned() };
        let keys = [KeyState { active: true, created_ms: 1_000, last_use: Some(used) }];
        let who = Who { name: "ana", arn: "arn:aws:iam::111111111111:user/ana", created_ms: 0 };
        let line = line(&who, passwords(None, None, None), true, &keys, &[(true, 2_000)]);
        assert_eq!(line.split(',').count(), HEADER.split(',').count());
        assert_eq!(
            line,
            "ana,arn:aws:iam::111111111111:user/ana,1970-01-01T00:00:00+00:00,false,N/A,N/A,N/A,true,\
             true,1970-01-01T00:00:01+00:00,1970-01-01T00:00:00+00:00,eu-central-1,s3,\
             false,N/A,N/A,N/A,N/A,true,1970-01-01T00:00:02+00:00,false,N/A"
        );
    }

    #[test]
    fn names_with_commas_are_quoted() {
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("a\"b"), "\"a\"\"b\"");
    }
}
