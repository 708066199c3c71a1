//! Codes of MFA devices in calls that give out credentials.
//!
//! A code is used up in the transaction of its call: two calls cannot both use it, and a call that fails leaves it unused.

use iam::mfa_device::{self, MfaProof};
use plane::{ApiError, Call, PrincipalKind};
use policy::MapContext;

use crate::error::{StsError, mfa_failed};

/// Name under which the proof waits for condition keys and handler.
const PROVED: &str = "sts.mfa";

/// Checks the code that came, if one came: it must be of a device of the calling user or root.
pub(crate) async fn prove(call: &mut Call, serial: Option<&str>, code: Option<&str>) -> Result<(), ApiError> {
    let (serial, code) = match (serial, code) {
        (None, None) => return Ok(()),
        (Some(serial), Some(code)) => (serial.to_owned(), code.to_owned()),
        _ => return Err(mfa_failed()),
    };
    let owner_id = match &call.principal.kind {
        PrincipalKind::User { id, .. } => id.clone(),
        PrincipalKind::Root => call.principal.account.clone(),
        _ => return Err(mfa_failed()),
    };
    let account = call.principal.account.clone();
    let now_ms = call.now.0;
    match mfa_device::prove(&mut call.tx, &account, &owner_id, &serial, &code, now_ms).await? {
        MfaProof::Proved => {
            call.remember(PROVED, now_ms);
            Ok(())
        }
        MfaProof::UnknownDevice => Err(mfa_failed()),
        MfaProof::WrongCode => {
            Err(StsError::AccessDenied("MultiFactorAuthentication failed with invalid MFA one time pass code. ".to_owned()).into())
        }
    }
}

/// When this call proved a second factor, milliseconds since 1970.
pub(crate) fn proved_ms(call: &Call) -> Option<i64> {
    call.recall(PROVED)
}

/// A factor that was proved with this very call counts for its decision.
pub(crate) fn condition_keys(call: &Call, keys: &mut MapContext) {
    if proved_ms(call).is_some() {
        keys.set("aws:MultiFactorAuthPresent", "true");
        keys.set("aws:MultiFactorAuthAge", "0");
    }
}
