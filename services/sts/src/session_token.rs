//! `GetSessionToken`.

use api_sts::{GetSessionTokenInput, GetSessionTokenOutput};
use plane::{ApiError, Call, Principal, PrincipalKind};

use crate::error::{StsError, unsupported};
use crate::mfa;
use crate::session::{self, SessionPolicies, SessionTags};

/// Twelve hours.
const DEFAULT_DURATION_S: i32 = 43_200;
/// Longest session of root.
const ROOT_DURATION_S: i32 = 3_600;

/// Duration in seconds of a session that a user or root asks for. For root it is cut, not refused.
pub(crate) fn duration(kind: &PrincipalKind, requested_s: Option<i32>) -> i32 {
    let duration_s = requested_s.unwrap_or(DEFAULT_DURATION_S);
    if *kind == PrincipalKind::Root { duration_s.min(ROOT_DURATION_S) } else { duration_s }
}

/// Temporary credentials cannot ask for others of this kind.
pub(crate) fn refuse_session(call: &Call) -> Result<(), ApiError> {
    match (&call.principal.kind, &call.principal.session) {
        (PrincipalKind::User { .. } | PrincipalKind::Root, None) => Ok(()),
        _ => Err(StsError::AccessDenied(format!("Cannot call {} with session credentials", call.operation.name)).into()),
    }
}

pub(crate) async fn get_session_token(cx: &mut Call, input: GetSessionTokenInput) -> Result<GetSessionTokenOutput, ApiError> {
    refuse_session(cx)?;
    mfa::prove(cx, input.serial_number.as_deref(), input.token_code.as_deref()).await?;
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    let principal = Principal::clone(&cx.principal);
    let duration_s = duration(&principal.kind, input.duration_seconds);
    let session = session::begin(cx, "GetSessionToken", duration_s, SessionPolicies::default(), SessionTags::default());
    Ok(GetSessionTokenOutput { credentials: Some(session::issue(cx, principal, session)?), ..GetSessionTokenOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_root_are_cut_to_an_hour() {
        let user = PrincipalKind::User { name: "ana".to_owned(), id: "AIDA".to_owned() };
        assert_eq!(duration(&user, None), 43_200);
        assert_eq!(duration(&user, Some(129_600)), 129_600);
        assert_eq!(duration(&PrincipalKind::Root, None), 3_600);
        assert_eq!(duration(&PrincipalKind::Root, Some(900)), 900);
    }
}
