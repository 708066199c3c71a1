//! The entity types.

macro_rules! kinds {
    ($($variant:ident = $name:literal,)*) => {
        /// A type of sensitive data. Source: Bedrock API reference, `GuardrailPiiEntityConfig.type`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Kind { $($variant,)* }

        impl Kind {
            /// All types, in the order of their names.
            pub const ALL: [Self; 31] = [$(Self::$variant,)*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The type of a name.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    Address = "ADDRESS",
    Age = "AGE",
    AwsAccessKey = "AWS_ACCESS_KEY",
    AwsSecretKey = "AWS_SECRET_KEY",
    CaHealthNumber = "CA_HEALTH_NUMBER",
    CaSocialInsuranceNumber = "CA_SOCIAL_INSURANCE_NUMBER",
    CardCvv = "CREDIT_DEBIT_CARD_CVV",
    CardExpiry = "CREDIT_DEBIT_CARD_EXPIRY",
    CardNumber = "CREDIT_DEBIT_CARD_NUMBER",
    DriverId = "DRIVER_ID",
    Email = "EMAIL",
    Iban = "INTERNATIONAL_BANK_ACCOUNT_NUMBER",
    IpAddress = "IP_ADDRESS",
    LicensePlate = "LICENSE_PLATE",
    MacAddress = "MAC_ADDRESS",
    Name = "NAME",
    Password = "PASSWORD",
    Phone = "PHONE",
    Pin = "PIN",
    SwiftCode = "SWIFT_CODE",
    UkNationalHealthServiceNumber = "UK_NATIONAL_HEALTH_SERVICE_NUMBER",
    UkNationalInsuranceNumber = "UK_NATIONAL_INSURANCE_NUMBER",
    UkUniqueTaxpayerReferenceNumber = "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER",
    Url = "URL",
    Username = "USERNAME",
    UsBankAccountNumber = "US_BANK_ACCOUNT_NUMBER",
    UsBankRoutingNumber = "US_BANK_ROUTING_NUMBER",
    UsIndividualTaxIdentificationNumber = "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER",
    UsPassportNumber = "US_PASSPORT_NUMBER",
    UsSocialSecurityNumber = "US_SOCIAL_SECURITY_NUMBER",
    VehicleIdentificationNumber = "VEHICLE_IDENTIFICATION_NUMBER",
}

/// A set of types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet(u32);

impl KindSet {
    /// No type.
    pub const EMPTY: Self = Self(0);
    /// Every type.
    pub const ALL: Self = Self((1 << 31) - 1);

    /// The set with one more type.
    pub fn with(self, kind: Kind) -> Self {
        let place = Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
        Self(self.0 | (1 << place))
    }

    /// Whether a type is in the set.
    pub fn contains(self, kind: Kind) -> bool {
        self.with(kind) == self
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::EMPTY, Self::with)
    }
}
