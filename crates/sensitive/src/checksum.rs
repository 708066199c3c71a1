//! Check digits and number rules.

/// The decimal digits of a text, other characters left out.
pub(crate) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|character| character.to_digit(10)).collect()
}

fn weighted_sum(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn number(digits: &[u32]) -> u32 {
    digits.iter().fold(0, |value, digit| value.wrapping_mul(10).wrapping_add(*digit))
}

/// Luhn, ISO/IEC 7812-1 annex B.
pub(crate) fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// Whether digits can be a payment card: a known issuer range, its length, and Luhn.
pub(crate) fn payment_card(digits: &[u32]) -> bool {
    let Some(head) = digits.get(..4).map(number) else {
        return false;
    };
    let length = digits.len();
    let is_known = match head {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        1800 | 2131 | 3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => matches!(length, 14..=19),
        3500..=3589 => matches!(length, 16..=19),

        5000..=5099 | 5600..=5899 | 6000..=6999 => matches!(length, 12..=19),
        _ => false,
    };
    is_known && luhn(digits) && digits.iter().any(|digit| Some(digit) != digits.first())
}

/// The length of an IBAN by its country (SWIFT IBAN registry).
pub(crate) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: [(usize, &str); 19] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
        (20, "MN"),
    ];
    LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|known| known == country)).map(|(length, _)| *length)
}

/// ISO 7064 mod 97-10 over an IBAN without blanks, upper case.
pub(crate) fn iban(compact: &str) -> bool {
    let (head, tail) = compact.split_at_checked(4).unwrap_or_default();
    let mut remainder = 0;
    for character in tail.chars().chain(head.chars()) {
        let Some(value) = character.to_digit(36) else {
            return false;
        };
        remainder = (remainder * if value > 9 { 100 } else { 10 } + value) % 97;
    }
    remainder == 1
}

/// ABA routing number: issuer range and weights 3, 7, 1.
pub(crate) fn aba_routing(digits: &[u32]) -> bool {
    let head = digits.get(..2).map(number);
    digits.len() == 9
        && matches!(head, Some(0..=12 | 21..=32 | 61..=72 | 80))
        && weighted_sum(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
        && digits.iter().any(|digit| *digit != 0)
}

/// NHS number: modulus 11.
pub(crate) fn nhs(digits: &[u32]) -> bool {
    let check = 11 - weighted_sum(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits.len() == 10 && digits.last() == Some(&(check % 11)) && check != 10 && digits.iter().any(|digit| *digit != 0)
}

/// United Kingdom unique taxpayer reference: the first digit checks the other nine.
pub(crate) fn unique_taxpayer_reference(digits: &[u32]) -> bool {
    let Some((first, rest)) = digits.split_first() else {
        return false;
    };
    let sum = weighted_sum(rest, &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    let expected = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    digits.len() == 10 && usize::try_from(sum).ok().and_then(|place| expected.get(place)) == Some(first)
}

/// United States social security number: areas and groups that are issued.
pub(crate) fn social_security(digits: &[u32]) -> bool {
    let part = |range: std::ops::Range<usize>| digits.get(range).map(number);
    let (Some(area), Some(group), Some(serial), 9) = (part(0..3), part(3..5), part(5..9), digits.len()) else {
        return false;
    };
    // 078-05-1120 and 219-09-9999 were printed in advertisements and are void.
    let is_void = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999));
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !is_void
}

/// United States individual taxpayer identification number: 9xx with the groups that are issued.
pub(crate) fn individual_taxpayer(digits: &[u32]) -> bool {
    let group = digits.get(3..5).map(number);
    digits.len() == 9 && digits.first() == Some(&9) && matches!(group, Some(50..=65 | 70..=88 | 90..=92 | 94..=99))
}

/// Vehicle identification number: the check digit of ISO 3779 as used in North America and China.
pub(crate) fn vehicle_identification(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |character: char| match character {
        '0'..='9' => character.to_digit(10),
        'A' | 'J' => Some(1),
        'B' | 'K' | 'S' => Some(2),
        'C' | 'L' | 'T' => Some(3),
        'D' | 'M' | 'U' => Some(4),
        'E' | 'N' | 'V' => Some(5),
        'F' | 'W' => Some(6),
        'G' | 'P' | 'X' => Some(7),
        'H' | 'Y' => Some(8),
        'R' | 'Z' => Some(9),
        _ => None,
    };
    let Some(values) = text.chars().map(value).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let check = match weighted_sum(&values, &WEIGHTS) % 11 {
        10 => Some('X'),
        digit => char::from_digit(digit, 10),
    };
    values.len() == 17 && text.chars().nth(8) == check && text.bytes().any(|byte| Some(byte) != text.bytes().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        assert!(payment_card(&digits("4111 1111 1111 1111")) && payment_card(&digits("378282246310005")));
        assert!(!payment_card(&digits("4111111111111112")) && !payment_card(&digits("9111111111111111")));
        assert!(iban("GB82WEST12345698765432") && iban("DE89370400440532013000") && !iban("DE89370400440532013001"));
        assert!(aba_routing(&digits("021000021")) && !aba_routing(&digits("021000022")));
        assert!(nhs(&digits("943 476 5919")) && !nhs(&digits("943 476 5918")));
        assert!(social_security(&digits("123-45-6789")) && !social_security(&digits("666-45-6789")));
        assert!(individual_taxpayer(&digits("912-70-1234")) && !individual_taxpayer(&digits("912-93-1234")));
        assert!(vehicle_identification("1M8GDM9AXKP042788") && !vehicle_identification("1M8GDM9A1KP042788"));
        assert!(luhn(&digits("046 454 286")), "the example number of the Canadian SIN");
        assert_eq!(iban_length("DE"), Some(22));
    }
}
