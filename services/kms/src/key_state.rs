//! Which operation works on a key in which state.
//!
//! Source: KMS Developer Guide, "Key states of AWS KMS keys".

use serde::{Deserialize, Serialize};

use crate::error::KmsError;

/// State of a key. Others that AWS knows belong to key kinds that are refused at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion,
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }
}

/// What an operation does on a key in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    IsDisabled,
    IsPendingDeletion,
    IsNotPendingDeletion,
}

use Verdict::{IsDisabled, IsNotPendingDeletion, IsPendingDeletion, Works};

/// Verdicts in the order Enabled, Disabled, PendingDeletion.
type Row = (&'static str, [Verdict; 3]);

/// Reads, and what manages access: works always.
const ALWAYS: [Verdict; 3] = [Works, Works, Works];
/// Changes of the key itself: not while it waits for its deletion.
const UNLESS_PENDING: [Verdict; 3] = [Works, Works, IsPendingDeletion];
/// Use of the key material: enabled keys only.
const ENABLED_ONLY: [Verdict; 3] = [Works, IsDisabled, IsPendingDeletion];

/// Sorted by name.
const TABLE: [Row; 33] = [
    ("CancelKeyDeletion", [IsNotPendingDeletion, IsNotPendingDeletion, Works]),
    ("CreateAlias", UNLESS_PENDING),
    ("CreateGrant", ENABLED_ONLY),
    ("Decrypt", ENABLED_ONLY),
    ("DeleteAlias", ALWAYS),
    ("DescribeKey", ALWAYS),
    ("DisableKey", UNLESS_PENDING),
    ("DisableKeyRotation", ENABLED_ONLY),
    ("EnableKey", UNLESS_PENDING),
    ("EnableKeyRotation", ENABLED_ONLY),
    ("Encrypt", ENABLED_ONLY),
    ("GenerateDataKey", ENABLED_ONLY),
    ("GenerateDataKeyWithoutPlaintext", ENABLED_ONLY),
    ("GenerateMac", ENABLED_ONLY),
    ("GetKeyPolicy", ALWAYS),
    ("GetKeyRotationStatus", ALWAYS),
    ("ListAliases", ALWAYS),
    ("ListGrants", ALWAYS),
    ("ListKeyPolicies", ALWAYS),
    ("ListKeyRotations", ALWAYS),
    ("ListResourceTags", ALWAYS),
    ("ListRetirableGrants", ALWAYS),
    ("PutKeyPolicy", ALWAYS),
    ("ReEncrypt", ENABLED_ONLY),
    ("RetireGrant", ALWAYS),
    ("RevokeGrant", ALWAYS),
    ("RotateKeyOnDemand", ENABLED_ONLY),
    ("ScheduleKeyDeletion", UNLESS_PENDING),
    ("TagResource", UNLESS_PENDING),
    ("UntagResource", UNLESS_PENDING),
    // The key that the alias moves to; the state of the one it leaves does not matter.
    ("UpdateAlias", UNLESS_PENDING),
    ("UpdateKeyDescription", UNLESS_PENDING),
    ("VerifyMac", ENABLED_ONLY),
];

/// Passes when the operation works on a key in this state. An operation without a row is refused as on a key that is going away.
pub(crate) fn check(operation: &str, state: KeyState, arn: &str) -> Result<(), KmsError> {
    let row = TABLE.binary_search_by(|(name, _)| (*name).cmp(operation)).ok().and_then(|at| TABLE.get(at));
    let [enabled, disabled, pending] = row.map_or([IsPendingDeletion; 3], |(_, verdicts)| *verdicts);
    let verdict = match state {
        KeyState::Enabled => enabled,
        KeyState::Disabled => disabled,
        KeyState::PendingDeletion => pending,
    };
    match verdict {
        Works => Ok(()),
        IsDisabled => Err(KmsError::Disabled(arn.to_owned())),
        IsPendingDeletion => Err(KmsError::PendingDeletion(arn.to_owned())),
        IsNotPendingDeletion => Err(KmsError::NotPendingDeletion(arn.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down a second time, in the table's own form: `.` works, `D` disabled, `P` pending deletion, `N` not pending deletion.
    const EXPECTED: &str = "
        CancelKeyDeletion NN.
        CreateAlias ..P
        CreateGrant .DP
        Decrypt .DP
        DeleteAlias ...
        DescribeKey ...
        DisableKey ..P
        DisableKeyRotation .DP
        EnableKey ..P
        EnableKeyRotation .DP
        Encrypt .DP
        GenerateDataKey .DP
        GenerateDataKeyWithoutPlaintext .DP
        GenerateMac .DP
        GetKeyPolicy ...
        GetKeyRotationStatus ...
        ListAliases ...
        ListGrants ...
        ListKeyPolicies ...
        ListKeyRotations ...
        ListResourceTags ...
        ListRetirableGrants ...
        PutKeyPolicy ...
        ReEncrypt .DP
        RetireGrant ...
        RevokeGrant ...
        RotateKeyOnDemand .DP
        ScheduleKeyDeletion ..P
        TagResource ..P
        UntagResource ..P
        UpdateAlias ..P
        UpdateKeyDescription ..P
        VerifyMac .DP
    ";

    #[test]
    fn every_cell_is_as_documented() {
        let states = [KeyState::Enabled, KeyState::Disabled, KeyState::PendingDeletion];
        let mut rows = 0;
        for line in EXPECTED.lines().filter(|line| !line.trim().is_empty()) {
            let (operation, cells) = line.trim().split_once(' ').unwrap();
            rows += 1;
            for (state, cell) in states.into_iter().zip(cells.chars()) {
                let answer = check(operation, state, "K").map_err(|error| (error.code(), error.to_string()));
                let expected = match cell {
                    '.' => Ok(()),
                    'D' => Err(("DisabledException", "K is disabled.".to_owned())),
                    'P' => Err(("KMSInvalidStateException", "K is pending deletion.".to_owned())),
                    _ => Err(("KMSInvalidStateException", "K is not pending deletion.".to_owned())),
                };
                assert_eq!(answer, expected, "{operation} on {state:?}");
            }
        }
        assert_eq!(rows, TABLE.len());
    }

    #[test]
    fn rows_are_in_order() {
        assert!(TABLE.is_sorted_by(|(first, _), (second, _)| first < second));
    }

    #[test]
    fn every_operation_on_a_key_has_a_row() {
        for handler in crate::HANDLERS {
            let without_key = ["CreateKey", "GenerateRandom", "ListKeys"];
            let known = TABLE.iter().any(|(name, _)| *name == handler.operation);
            assert_ne!(known, without_key.contains(&handler.operation), "{}", handler.operation);
        }
    }

    #[test]
    fn an_operation_without_a_row_is_refused() {
        assert!(check("Sign", KeyState::Enabled, "K").is_err());
    }
}
