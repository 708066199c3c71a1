//! Why a call out did not succeed.

use std::net::IpAddr;

/// A call out failed. The answer of the other side, whatever its status, is not a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("`{0}` is not an absolute http or https URL with a host")]
    Url(String),
    #[error("the host `{host}` is at the internal address `{address}`, which is not on the list of allowed internal hosts")]
    Internal { host: String, address: IpAddr },
    #[error("the host `{host}` cannot be resolved: {cause}")]
    Resolve { host: String, cause: String },
    #[error("no connection to `{host}`: {cause}")]
    Connect { host: String, cause: String },
    #[error("the TLS handshake with `{host}` failed: {cause}")]
    Tls { host: String, cause: String },
    #[error("no answer began within {0} milliseconds")]
    HeadTimeout(u64),
    #[error("the connection was not made within {0} milliseconds")]
    ConnectTimeout(u64),
    #[error("the next part of the answer did not arrive within {0} milliseconds")]
    BodyTimeout(u64),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

impl OutboundError {
    /// Whether a wait ran out.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::HeadTimeout(_) | Self::ConnectTimeout(_) | Self::BodyTimeout(_))
    }
}
