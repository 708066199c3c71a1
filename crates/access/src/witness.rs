//! A request that proves a finding, in the engine's own terms.

use policy::{Check, MapContext, Policy, Principal, Resource};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::caller;
use crate::solve::Cube;
use crate::space::{Field, Space};

/// A concrete request. The engine was asked about it: the finding that it belongs to is true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Who calls; `None` if the policies are attached to the caller and name none.
    pub principal: Option<Principal>,
    /// Whether the caller has a permissions boundary.
    pub has_boundary: bool,
    /// The action.
    pub action: String,
    /// ARN of the resource.
    pub resource: String,
    /// The condition keys that matter, with their values; all others are absent.
    pub context: Vec<(String, Vec<String>)>,
}

impl Witness {
    /// The question to the engine.
    pub fn check(&self) -> Check {
        Check::new(&self.action, Resource { arn: self.resource.clone(), ..Resource::default() })
    }

    /// The condition keys of the request.
    pub fn map_context(&self) -> MapContext {
        let mut context = MapContext::new();
        for (name, values) in &self.context {
            match values.as_slice() {
                [one] => context.set(name, one.clone()),
                many => context.set_many(name, many.iter().cloned()),
            };
        }
        context
    }

    /// The caller; some caller if the policies name none.
    pub fn caller(&self) -> Principal {
        self.principal.clone().unwrap_or_else(Principal::anonymous)
    }

    /// Whether the policy alone allows the request.
    pub fn is_allowed_by(&self, policy: &Policy) -> bool {
        let said = policy.says(&self.caller(), &self.check(), &self.map_context(), self.has_boundary);
        said == Some(policy::Effect::Allow)
    }
}

impl Serialize for Witness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Witness", 4)?;
        let principal = self.principal.as_ref().map(|principal| match &principal.kind {
            policy::PrincipalKind::Service { name } => name.clone(),
            policy::PrincipalKind::Anonymous => "*".to_owned(),
            policy::PrincipalKind::WebIdentity { provider } | policy::PrincipalKind::Saml { provider } => provider.clone(),
            _ => principal.arn.clone(),
        });
        map.serialize_field("principal", &principal)?;
        map.serialize_field("action", &self.action)?;
        map.serialize_field("resource", &self.resource)?;
        let context: std::collections::BTreeMap<&str, &[String]> =
            self.context.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        map.serialize_field("context", &context)?;
        map.end()
    }
}

/// The request of a cube.
pub(crate) fn witness(space: &Space, cube: &Cube, callers: bool) -> Witness {
    let mut canonical = None;
    let mut context = Vec::new();
    for (key, values) in cube.values() {
        let Some(known) = space.keys.get(key) else { continue };
        if callers && known.special.is_of_caller() || values.is_empty() {
            continue;
        }
        if known.name == "canonical-user-id" {
            canonical = values.first().cloned();
            continue;
        }
        context.push((known.name.clone(), values.to_vec()));
    }
    let principal = callers.then(|| {
        let user_id = cube.constrains(Field::UserId).then(|| cube.text(Field::UserId));
        let mut principal = caller::principal(
            cube.kind,
            cube.text(Field::Principal),
            cube.text(Field::Session),
            user_id,
            cube.text(Field::Service),
            cube.text(Field::Provider),
        );
        principal.canonical_user_id = canonical;
        principal
    });
    Witness {
        principal,
        has_boundary: cube.bounded,
        action: cube.text(Field::Action).to_owned(),
        resource: cube.text(Field::Resource).to_owned(),
        context,
    }
}

/// Texts that read better than the shortest ones, where the finding stays true of them.
pub(crate) fn polish(witness: Witness, actions: &[&str], stays: impl Fn(&Witness) -> bool) -> Witness {
    let mut best = witness;
    let prefix = best.action.split(':').next().unwrap_or_default().to_owned();
    let of_service = |action: &&&str| action.split(':').next().is_some_and(|service| service.eq_ignore_ascii_case(&prefix));
    let listed = actions.iter().filter(of_service).chain(actions.iter().filter(|action| !of_service(action)).take(256)).take(2_048);
    let same_name = actions.iter().find(|action| action.eq_ignore_ascii_case(&best.action)).copied();
    for action in same_name.into_iter().chain(listed.copied()) {
        let other = Witness { action: action.to_owned(), ..best.clone() };
        if stays(&other) {
            best = other;
            break;
        }
    }
    let service = best.action.split(':').next().unwrap_or_default().to_lowercase();
    let account = "111122223333";
    let longer = if best.resource.ends_with(['/', ':']) { format!("{}example", best.resource) } else { String::new() };
    for resource in [
        longer,
        format!("arn:aws:{service}:::example"),
        format!("arn:aws:{service}:::example/object"),
        format!("arn:aws:{service}:us-east-1:{account}:example"),
    ] {
        let other = Witness { resource, ..best.clone() };
        if !other.resource.is_empty() && stays(&other) {
            best = other;
            break;
        }
    }
    best
}
