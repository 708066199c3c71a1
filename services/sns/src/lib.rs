//! SNS: topics, subscriptions of HTTP and HTTPS endpoints, notifications that are signed and tried again until their policy gives up.
//!
//! It tells endpoints what happened: log files of trails, and whatever programs publish. It is not a mail, queue or phone gateway: other protocols
//! are refused, and so are FIFO topics.
//!
//! Invariants:
//! 1. A message that `Publish` acknowledged is in the queue of every subscription that takes it, in the commit of the call, and leaves the
//!    queue when the endpoint has answered with success, refuses it for good, or the delivery policy gives up.
//! 2. Nobody gets notifications who has not confirmed: the token is sent to the endpoint only.
//! 3. Endpoints are reached through the one outbound client, which refuses internal addresses unless configured.
//! 4. Messages are in no event of the trail, and at rest they are sealed.
//!
//! ## Recorded only
//! * `DisplayName`: it is for mail and phones.
//!
//! ## Not as AWS does
//! * Notifications have `SignatureVersion` 2 (SHA-256), which is also the default here. Version 1 needs SHA-1 and is refused.
//! * The links in a message (`SubscribeURL`, `UnsubscribeURL`, `SigningCertURL`) lead to the server's `public_url`.
//! * `KmsMasterKeyId` is refused: what waits in the queue is sealed under the server's keys.
//! * The status of deliveries is not logged: a role or a sample rate for that is refused, unless it is empty or 0.
//! * No `UnsubscribeConfirmation` is sent.
//! * A topic has at most 1,000 subscriptions.

mod delivery;
mod delivery_policy;
mod error;
mod filter_policy;
mod listing;
mod message;
mod publish;
mod service;
mod signing_key;
mod subscription;
mod subscription_attribute;
mod tag;
mod topic;
mod topic_attribute;
mod topic_permission;

pub use delivery::{Courier, deliver, start};
pub use service::Sns;
pub use signing_key::{CERTIFICATES, certificate};
pub use topic::{parse_topic_arn, topic_arn};
