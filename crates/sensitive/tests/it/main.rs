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

/// The findings of one type.
fn of(kind: Kind, text: &str) -> Vec<&str> {
    let wanted: KindSet = [kind].into_iter().collect();
    find(text, wanted).unwrap().iter().map(|finding| &text[finding.start..finding.end]).collect()
}

#[test]
fn names_are_found_by_lists_and_by_what_stands_around_them() {
    for (text, expected) in [
        ("According to Gülten Holt, it was late.", "Gülten Holt"),
        ("We met Faina D. Yefremova's brother.", "Faina D. Yefremova"),
        ("Signed by Jan van der Berg yesterday", "Jan van der Berg"),
        ("Dear Xqwop, thank you", "Xqwop"),
        ("my name is Qadir Zelmo and I lost my card", "Qadir Zelmo"),
        ("i lost my card, my name is john smith", "john smith"),
        ("Maria-Luise Wirth called about it", "Maria-Luise Wirth"),
        ("Will Smith was there", "Will Smith"),
        ("an invoice from J. Kowalski came", "J. Kowalski"),
        ("Please tell Jennifer that I am late", "Jennifer"),
        ("Name: Zorblat Quux", "Zorblat Quux"),
        ("Tanaka Hiroshi will join", "Tanaka Hiroshi"),
    ] {
        assert_eq!(of(Kind::Name, text), [expected], "{text}");
    }
    for text in [
        "Will you help me in May?",
        "Paris and Washington are cities, Virginia is a state",
        "I bank with Morgan Stanley & Co and Deutsche Bank",
        "the Johnson Foundation, Martin Holdings Ltd and Smith Street",
        "JavaScript, MariaDB and jenkins@example.org",
        "use Grant Type and Client Secret in Postman",
        "I am fine and this is great",
        "see www.Maria.example and /srv/Maria/file",
    ] {
        assert_eq!(of(Kind::Name, text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn addresses_of_many_countries_are_found_whole() {
    for (text, expected) in [
        ("send it to 8978 Baxter Stravenue, East Brettton, OR 49958 please", "8978 Baxter Stravenue, East Brettton, OR 49958"),
        ("at Weimerstr. 8, 14456 Badalzungen.", "Weimerstr. 8, 14456 Badalzungen"),
        ("to Pasaje de Darío Vilar 86, 30066 Teruel by post", "Pasaje de Darío Vilar 86, 30066 Teruel"),
        ("in 78, avenue Olivier, 38366 Valdan.", "78, avenue Olivier, 38366 Valdan"),
        ("is 102/42 Luke Ring, Beltranborough VIC 2920 now", "102/42 Luke Ring, Beltranborough VIC 2920"),
        ("from Studio 3, Amanda Pines, Jeffreyborough LN2Y 8ZF today", "Studio 3, Amanda Pines, Jeffreyborough LN2Y 8ZF"),
        ("lives at Via Roma 41 since May", "Via Roma 41"),
        ("on ul. Północna 73 it is", "ul. Północna 73"),
        ("near Koskikatu 25 in town", "Koskikatu 25"),
        ("ship to PSC 1560, Box 3449\nAPO AP 24937 now", "PSC 1560, Box 3449\nAPO AP 24937"),
        ("write to P.O. Box 1234 instead", "P.O. Box 1234"),
    ] {
        assert_eq!(of(Kind::Address, text), [expected], "{text}");
    }
    for text in [
        "In 2019 Main results improved by 12 points",
        "There are 12 Good Reasons to stay, Part 3",
        "version 3.11 of Python 3",
        "Chapter 7 Section 12",
    ] {
        assert_eq!(of(Kind::Address, text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn keys_and_tokens_are_passwords() {
    let jwt = format!("eyJ{}.eyJ{}.{}", "hbGciOiJIUzI1NiJ9", "zdWIiOiIxMjMifQ", "dozjgNryP4J3jVmNHl0w5N");
    let github = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let slack = format!("xoxb-{}", "123456789012-abcdefABCDEF");
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "MIIEowIBAAKCAQEA7bq".repeat(4));
    for (text, expected) in [
        (format!("token {jwt} here"), jwt.as_str()),
        (format!("export GITHUB={github}"), &github),
        (format!("slack uses {slack}."), &slack),
        (format!("the key:\n{pem}\nthat was it"), &pem),
        ("Authorization: Bearer abc123DEF456ghi789JKL".to_owned(), "abc123DEF456ghi789JKL"),
        ("authorization: basic dXNlcjpwYXNzd29yZDE=".to_owned(), "dXNlcjpwYXNzd29yZDE="),
        ("DB=postgres://app:s3cr3t!pw@db.internal/x".to_owned(), "s3cr3t!pw"),
        ("api_key = \"9f8e7d6c5b4a39281706\"".to_owned(), "9f8e7d6c5b4a39281706"),
        ("client_secret: Zx9_k2Lm8pQr4sTv".to_owned(), "Zx9_k2Lm8pQr4sTv"),
        ("mein Passwort ist Tr0ub4dor&3".to_owned(), "Tr0ub4dor&3"),
    ] {
        assert_eq!(of(Kind::Password, &text), [expected], "{text}");
    }
    for text in [
        "The password is required and the token is missing.",
        "password = os.environ[\"DB_PASSWORD\"]",
        "password: ${DB_PASSWORD}",
        "api_key = get_key()",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA7bq\n-----END PUBLIC KEY-----",
        "commit 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "my token balance is low, please reset my password today",
        "sk-learn and npm_config_cache are fine",
    ] {
        assert_eq!(of(Kind::Password, text), Vec::<&str>::new(), "{text}");
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
    fn findings_are_ordered_and_on_boundaries(text in r"([a-zA-Z0-9@.:/é€ 😀+-]|Mr\. |Maria |Van |Street |12 |eyJ|-----BEGIN |O'|secret=|4111111111111111|password: |10\.0\.0\.1|pin ){0,40}") {
        let findings = find(&text, KindSet::ALL).unwrap();
        let mut last = 0;
        for finding in findings {
            prop_assert!(finding.start >= last && finding.start < finding.end);
            prop_assert!(text.get(finding.start..finding.end).is_some());
            last = finding.end;
        }
    }
}
