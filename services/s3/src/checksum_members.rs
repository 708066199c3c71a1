//! The checksum members that many inputs and outputs share, as the generated types have them.

use crate::checksum::{Algorithm, check_form};
use crate::error::not_implemented;
use crate::record::StoredChecksum;
use plane::ApiError;

/// Sets the one checksum member of an output that the object's algorithm has, and its type where the output has it.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::checksum::Algorithm::Crc32 => $output.checksum_crc32 = Some($value),
            $crate::checksum::Algorithm::Crc32c => $output.checksum_crc32c = Some($value),
            $crate::checksum::Algorithm::Crc64nvme => $output.checksum_crc64nvme = Some($value),
            $crate::checksum::Algorithm::Sha1 => $output.checksum_sha1 = Some($value),
            $crate::checksum::Algorithm::Sha256 => $output.checksum_sha256 = Some($value),
        }
    };
}
pub(crate) use set_checksum;

/// The checksum members of an input by algorithm: those that are computed here, and the names of given ones that are not.
macro_rules! checksum_members {
    ($input:expr) => {
        $crate::checksum_members::Members {
            computed: [
                ($crate::checksum::Algorithm::Crc32, $input.checksum_crc32.as_deref()),
                ($crate::checksum::Algorithm::Crc32c, $input.checksum_crc32c.as_deref()),
                ($crate::checksum::Algorithm::Crc64nvme, $input.checksum_crc64nvme.as_deref()),
                ($crate::checksum::Algorithm::Sha1, $input.checksum_sha1.as_deref()),
                ($crate::checksum::Algorithm::Sha256, $input.checksum_sha256.as_deref()),
            ],
            others: [
                ("x-amz-checksum-sha512", $input.checksum_sha512.is_some()),
                ("x-amz-checksum-md5", $input.checksum_md5.is_some()),
                ("x-amz-checksum-xxhash64", $input.checksum_xxhash64.is_some()),
                ("x-amz-checksum-xxhash3", $input.checksum_xxhash3.is_some()),
                ("x-amz-checksum-xxhash128", $input.checksum_xxhash128.is_some()),
            ],
        }
    };
}
pub(crate) use checksum_members;

pub(crate) struct Members<'a> {
    pub computed: [(Algorithm, Option<&'a str>); 5],
    pub others: [(&'static str, bool); 5],
}

impl<'a> Members<'a> {
    /// All that are given; one that is not computed here is refused.
    pub(crate) fn given(&self) -> Result<Vec<(Algorithm, &'a str)>, ApiError> {
        if let Some((header, _)) = self.others.iter().find(|(_, given)| *given) {
            return Err(not_implemented(header));
        }
        Ok(self.computed.iter().filter_map(|(algorithm, value)| Some((*algorithm, (*value)?))).collect())
    }

    /// As [`Members::given`], each in the form of its algorithm; composite values end in `-N`.
    pub(crate) fn checked(&self) -> Result<Vec<(Algorithm, &'a str)>, ApiError> {
        let given = self.given()?;
        for (algorithm, value) in &given {
            let raw =
                value.rsplit_once('-').filter(|(_, count)| count.bytes().all(|byte| byte.is_ascii_digit())).map_or(*value, |(raw, _)| raw);
            check_form(*algorithm, raw)?;
        }
        Ok(given)
    }
}

pub(crate) fn type_of(checksum: &StoredChecksum) -> api_s3::ChecksumType {
    if checksum.composite { api_s3::ChecksumType::Composite } else { api_s3::ChecksumType::FullObject }
}
