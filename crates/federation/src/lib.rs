//! What other identity providers say of somebody: JSON Web Tokens and SAML assertions, read and verified; and proofs that a client holds a key.
//!
//! It fetches nothing and knows no time: who asks gives the keys of the provider and the time.
//!
//! Invariants:
//! 1. Nothing is believed before its signature is verified with a key of the provider; the algorithm is one of a fixed list, never the
//!    token's wish.
//! 2. Of a SAML response only the assertion that the verified signature covers is read.
//! 3. Every input is foreign: sizes, depths and counts have limits, and nothing panics.
//!
//! Source: RFC 7515, 7517, 7519, 9449; SAML 2.0 Core and Metadata; Exclusive XML Canonicalization 1.0; XML Signature.

pub mod dpop;
pub mod jwt;
pub mod saml;
mod xml;
