//! Each type is found where it should be, its look-alikes are not, and no text brings the detectors down.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the whole binary is a test, also the functions that the tests share")]

use proptest::prelude::*;
use sensitive::{INPUT_BYTES_MAX, Kind, KindSet, find};

fn found(text: &str) -> Vec<(Kind, &str)> {
    find(text, KindSet::ALL).unwrap().iter().map(|finding| (finding.kind, &text[finding.start..finding.end])).collect()
}

#[test]
fn every_type_is_found() {
    use Kind::*;
    let examples = [
        (Address, "Ship it to 350 Fifth Avenue, Apt. 12, please", "350 Fifth Avenue, Apt. 12"),
        (Age, "a patient of 42 years with a cough", "42 years"),
        (AwsAccessKey, "key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
        (AwsSecretKey, "secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        (CaHealthNumber, "my health card 1234-567-897 XM", "1234-567-897 XM"),
        (CaSocialInsuranceNumber, "my SIN is 130 692 544", "130 692 544"),
        (CardCvv, "the CVV is 123.", "123"),
        (CardExpiry, "it expires 09/27", "09/27"),
        (CardNumber, "pay with 4111-1111-1111-1111 now", "4111-1111-1111-1111"),
        (DriverId, "driver's license D1234567", "D1234567"),
        (Email, "write to ana.lopez+x@mail.example.org.", "ana.lopez+x@mail.example.org"),
        (Iban, "to DE89 3704 0044 0532 0130 00 and thanks", "DE89 3704 0044 0532 0130 00"),
        (IpAddress, "host 192.168.10.4 is down", "192.168.10.4"),
        (IpAddress, "host 2001:db8::8a2e:370:7334 is down", "2001:db8::8a2e:370:7334"),
        (LicensePlate, "license plate 7ABC123 was seen", "7ABC123"),
        (MacAddress, "mac 00:1B:44:11:3A:B7", "00:1B:44:11:3A:B7"),
        (Name, "it was Mr. Okonkwo who called", "Okonkwo"),
        (Name, "ask Maria Schneider", "Maria Schneider"),
        (Password, "password: hunter2!x", "hunter2!x"),
        (Phone, "call +49 30 1234567 today", "+49 30 1234567"),
        (Phone, "it is (415) 555-0132", "(415) 555-0132"),
        (Pin, "my pin is 4821", "4821"),
        (SwiftCode, "SWIFT DEUTDEFF500", "DEUTDEFF500"),
        (UkNationalHealthServiceNumber, "NHS number 943 476 5919", "943 476 5919"),
        (UkNationalInsuranceNumber, "NI AB 12 34 56 C", "AB 12 34 56 C"),
        (UkUniqueTaxpayerReferenceNumber, "UTR 2123456789", "2123456789"),
        (Url, "see https://example.com/a?b=c.", "https://example.com/a?b=c"),
        (Username, "username: jdoe_77", "jdoe_77"),
        (UsBankAccountNumber, "account number 000123456789", "000123456789"),
        (UsBankRoutingNumber, "routing number 021000021", "021000021"),
        (UsIndividualTaxIdentificationNumber, "itin 912-70-1234", "912-70-1234"),
        (UsPassportNumber, "passport C12345678", "C12345678"),
        (UsSocialSecurityNumber, "ssn 536-90-4399", "536-90-4399"),
        (VehicleIdentificationNumber, "1M8GDM9AXKP042788", "1M8GDM9AXKP042788"),
    ];
    for (kind, text, expected) in examples {
        assert_eq!(found(text), [(kind, expected)], "{text}");
    }
    for kind in Kind::ALL {
        assert!(examples.iter().any(|(tested, ..)| *tested == kind), "{kind:?} has no example");
        assert_eq!(Kind::parse(kind.name()), Some(kind));
    }
}

#[test]
fn look_alikes_are_left_alone() {
    for text in [
        "order 4111 1111 1111 1112",
        "version 1.2.3.4.5 and 300.1.1.1",
        "commit 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "on 2026-11-22 at 12:30:45",
        "my opinion costs 1234 words",
        "GB82WEST12345698765433",
        "000-12-3456 and 666-12-3456",
        "The password is required.",
        "std::vec::Vec and a::b",
        "Main Street is closed",
        "There are 365 days in a year",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn only_wanted_types_are_found() {
    let text = "mail a@example.org from 10.0.0.1";
    let wanted: KindSet = [Kind::IpAddress].into_iter().collect();
    let findings = find(text, wanted).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].kind, Kind::IpAddress);
    assert!(find(text, KindSet::EMPTY).unwrap().is_empty());
    assert!(find(&"x".repeat(INPUT_BYTES_MAX + 1), KindSet::ALL).is_err());
}

#[test]
fn neighbours_are_both_found() {
    assert_eq!(found("10.0.0.1 10.0.0.2,10.0.0.3").len(), 3);
    assert_eq!(found("a@example.org b@example.org").len(), 2);
}

proptest! {
    #[test]
    fn findings_are_ordered_and_on_boundaries(text in r"([a-zA-Z0-9@.:/é€ 😀+-]|Mr\. |4111111111111111|password: |10\.0\.0\.1|pin ){0,40}") {
        let findings = find(&text, KindSet::ALL).unwrap();
        let mut last = 0;
        for finding in findings {
            prop_assert!(finding.start >= last && finding.start < finding.end);
            prop_assert!(text.get(finding.start..finding.end).is_some());
            last = finding.end;
        }
    }
}
