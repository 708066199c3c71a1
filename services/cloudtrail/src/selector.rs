//! Event selectors: which events a trail delivers.
//!
//! Source: CloudTrail User Guide, "Logging management events", "Logging data events", and the API reference of `EventSelector`,
//! `AdvancedEventSelector` and `AdvancedFieldSelector`.

use ::trail::Event;
use ::trail::event::NETWORK_ACTIVITY;
use api_cloudtrail::{AdvancedEventSelector, AdvancedFieldSelector, DataResource, EventSelector, ReadWriteType};
use serde::{Deserialize, Serialize};

use crate::error::TrailError;

/// Basic selectors of one trail.
const BASIC_LIMIT: usize = 5;
/// Data resources of one trail's basic selectors.
const DATA_RESOURCES_LIMIT: usize = 250;
/// Values of one trail's advanced selectors.
const VALUES_LIMIT: usize = 500;
/// Data resource types that basic selectors may name.
const BASIC_TYPES: [&str; 3] = ["AWS::S3::Object", "AWS::Lambda::Function", "AWS::DynamoDB::Table"];
/// Sources of management events that basic selectors may leave out.
const EXCLUDABLE: [&str; 2] = ["kms.amazonaws.com", "rdsdata.amazonaws.com"];

/// The selectors of a trail, of one of two kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Selectors {
    Basic(Vec<BasicSelector>),
    Advanced(Vec<AdvancedSelector>),
}

/// All management events, no data events: what a new trail delivers.
impl Default for Selectors {
    fn default() -> Self {
        Self::Basic(vec![BasicSelector::default()])
    }
}

/// Which half of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReadWrite {
    #[default]
    All,
    ReadOnly,
    WriteOnly,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BasicSelector {
    pub read_write: ReadWrite,
    pub management: bool,
    /// Resource type and ARN prefixes.
    pub data_resources: Vec<(String, Vec<String>)>,
    pub excluded_sources: Vec<String>,
}

impl Default for BasicSelector {
    fn default() -> Self {
        Self { read_write: ReadWrite::All, management: true, data_resources: Vec::new(), excluded_sources: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdvancedSelector {
    pub name: Option<String>,
    pub fields: Vec<FieldSelector>,
}

/// Conditions on one field: each kind that is given must hold, for one of its values (positive kinds) or for none (negative kinds).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FieldSelector {
    pub field: String,
    #[serde(default)]
    pub equals: Vec<String>,
    #[serde(default)]
    pub starts_with: Vec<String>,
    #[serde(default)]
    pub ends_with: Vec<String>,
    #[serde(default)]
    pub not_equals: Vec<String>,
    #[serde(default)]
    pub not_starts_with: Vec<String>,
    #[serde(default)]
    pub not_ends_with: Vec<String>,
}

impl Selectors {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the event is one that the trail delivers.
    pub(crate) fn select(&self, event: &Event) -> bool {
        match self {
            Self::Basic(selectors) => selectors.iter().any(|selector| selector.select(event)),
            Self::Advanced(selectors) => {
                selectors.iter().any(|selector| selector.fields.iter().all(|field| field.holds(&values(event, &field.field))))
            }
        }
    }

    pub(crate) fn from_basic(selectors: Vec<EventSelector>) -> Result<Self, TrailError> {
        let invalid = |text: &str| TrailError::Selectors(text.to_owned());
        if selectors.is_empty() || selectors.len() > BASIC_LIMIT {
            return Err(invalid("A trail has one to five event selectors."));
        }
        let selectors = selectors.into_iter().map(basic).collect::<Result<Vec<_>, _>>()?;
        let resources: usize = selectors.iter().flat_map(|selector| &selector.data_resources).map(|(_, values)| values.len()).sum();
        if resources > DATA_RESOURCES_LIMIT {
            return Err(invalid("The event selectors of a trail name at most 250 data resources."));
        }
        Ok(Self::Basic(selectors))
    }

    pub(crate) fn from_advanced(selectors: Vec<AdvancedEventSelector>) -> Result<Self, TrailError> {
        let selectors = selectors.into_iter().map(advanced).collect::<Result<Vec<_>, _>>()?;
        let values: usize = selectors.iter().flat_map(|selector| &selector.fields).map(FieldSelector::value_count).sum();
        if selectors.is_empty() || values > VALUES_LIMIT {
            return Err(TrailError::Selectors("The advanced event selectors of a trail have 1 to 500 values.".to_owned()));
        }
        Ok(Self::Advanced(selectors))
    }

    pub(crate) fn to_basic(&self) -> Option<Vec<EventSelector>> {
        let Self::Basic(selectors) = self else { return None };
        Some(selectors.iter().map(BasicSelector::describe).collect())
    }

    pub(crate) fn to_advanced(&self) -> Option<Vec<AdvancedEventSelector>> {
        let Self::Advanced(selectors) = self else { return None };
        Some(selectors.iter().map(AdvancedSelector::describe).collect())
    }
}

impl BasicSelector {
    fn select(&self, event: &Event) -> bool {
        let half = match self.read_write {
            ReadWrite::All => true,
            ReadWrite::ReadOnly => event.read_only,
            ReadWrite::WriteOnly => !event.read_only,
        };
        if event.management_event {
            return half && self.management && !self.excluded_sources.contains(&event.event_source);
        }
        half && self.data_resources.iter().any(|(resource_type, prefixes)| {
            let touched = event.resources.iter().filter(|resource| resource.resource_type.as_deref() == Some(resource_type));
            touched.into_iter().any(|resource| prefixes.iter().any(|prefix| resource.arn.starts_with(prefix.as_str())))
        })
    }

    fn describe(&self) -> EventSelector {
        let read_write = match self.read_write {
            ReadWrite::All => ReadWriteType::All,
            ReadWrite::ReadOnly => ReadWriteType::ReadOnly,
            ReadWrite::WriteOnly => ReadWriteType::WriteOnly,
        };
        let resources = self
            .data_resources
            .iter()
            .map(|(resource_type, values)| DataResource { type_: Some(resource_type.clone()), values: Some(values.clone()) });
        EventSelector {
            read_write_type: Some(read_write),
            include_management_events: Some(self.management),
            data_resources: Some(resources.collect()),
            exclude_management_event_sources: Some(self.excluded_sources.clone()),
        }
    }
}

fn basic(selector: EventSelector) -> Result<BasicSelector, TrailError> {
    let read_write = match selector.read_write_type {
        None | Some(ReadWriteType::All) => ReadWrite::All,
        Some(ReadWriteType::ReadOnly) => ReadWrite::ReadOnly,
        Some(ReadWriteType::WriteOnly) => ReadWrite::WriteOnly,
        Some(ReadWriteType::Other(other)) => return Err(TrailError::Selectors(format!("`{other}` is not a read-write type."))),
    };
    let mut data_resources = Vec::new();
    for resource in selector.data_resources.unwrap_or_default() {
        let resource_type = resource.type_.unwrap_or_default();
        if !BASIC_TYPES.contains(&resource_type.as_str()) {
            return Err(TrailError::Selectors(format!("`{resource_type}` is not a resource type of basic event selectors.")));
        }
        let values = resource.values.unwrap_or_default();
        if values.is_empty() || values.iter().any(|value| !value.starts_with("arn:")) {
            return Err(TrailError::Selectors(
                "A data resource needs at least one value, and each value is an ARN or the beginning of one.".to_owned(),
            ));
        }
        data_resources.push((resource_type, values));
    }
    let excluded_sources = selector.exclude_management_event_sources.unwrap_or_default();
    if let Some(other) = excluded_sources.iter().find(|source| !EXCLUDABLE.contains(&source.as_str())) {
        return Err(TrailError::Selectors(format!("Management events of `{other}` cannot be left out.")));
    }
    Ok(BasicSelector { read_write, management: selector.include_management_events.unwrap_or(true), data_resources, excluded_sources })
}

/// Fields that advanced selectors may name; `readOnly` and `eventCategory` take `Equals` only.
const FIELDS: [&str; 10] = [
    "eventCategory",
    "eventSource",
    "eventName",
    "eventType",
    "readOnly",
    "resources.type",
    "resources.ARN",
    "errorCode",
    "userIdentity.arn",
    "vpcEndpointId",
];

fn advanced(selector: AdvancedEventSelector) -> Result<AdvancedSelector, TrailError> {
    let invalid = |text: String| Err(TrailError::Selectors(text));
    let fields: Vec<FieldSelector> = selector.field_selectors.into_iter().map(field).collect();
    for (position, field) in fields.iter().enumerate() {
        if !FIELDS.contains(&field.field.as_str()) {
            return invalid(format!("The field `{}` is not supported.", field.field));
        }
        if fields.iter().take(position).any(|other| other.field == field.field) {
            return invalid(format!("The field `{}` is named twice in one selector.", field.field));
        }
        if field.value_count() == 0 {
            return invalid(format!("The field `{}` has no values.", field.field));
        }
        let only_equals = field.value_count() == field.equals.len();
        if matches!(field.field.as_str(), "eventCategory" | "readOnly" | "resources.type") && !only_equals {
            return invalid(format!("The field `{}` takes `Equals` only.", field.field));
        }
    }
    let equals = |name: &str| fields.iter().find(|field| field.field == name).map(|field| field.equals.as_slice());
    match equals("eventCategory") {
        Some([category]) if category == "Management" => {
            if equals("resources.type").is_some() || fields.iter().any(|field| field.field == "resources.ARN") {
                return invalid("Management events are not selected by resource.".to_owned());
            }
        }
        Some([category]) if category == "Data" => {
            if equals("resources.type").is_none_or(|types| types.len() != 1) {
                return invalid("A selector of data events names exactly one `resources.type`.".to_owned());
            }
        }
        Some([category]) if category == NETWORK_ACTIVITY => check_network(&fields)?,
        _ => return invalid("A selector names one `eventCategory`: `Management`, `Data` or `NetworkActivity`.".to_owned()),
    }
    if equals("readOnly").is_some_and(|values| !values.iter().all(|value| value == "true" || value == "false")) {
        return invalid("`readOnly` is `true` or `false`.".to_owned());
    }
    Ok(AdvancedSelector { name: selector.name, fields })
}

/// Source: CloudTrail User Guide, "Advanced event selectors for network activity events".
fn check_network(fields: &[FieldSelector]) -> Result<(), TrailError> {
    let invalid = |text: String| Err(TrailError::Selectors(text));
    let allowed = ["eventCategory", "eventSource", "eventName", "errorCode", "vpcEndpointId"];
    if let Some(other) = fields.iter().find(|field| !allowed.contains(&field.field.as_str())) {
        return invalid(format!("Network activity events are not selected by `{}`.", other.field));
    }
    let source = fields.iter().find(|field| field.field == "eventSource");
    if source.is_none_or(|source| source.equals.len() != 1 || source.value_count() != 1) {
        return invalid("A selector of network activity events names exactly one `eventSource`.".to_owned());
    }
    let code = fields.iter().find(|field| field.field == "errorCode");
    if code.is_some_and(|code| code.value_count() != 1 || code.equals != ["VpceAccessDenied"]) {
        return invalid("The `errorCode` of network activity events is `VpceAccessDenied`.".to_owned());
    }
    Ok(())
}

fn field(selector: AdvancedFieldSelector) -> FieldSelector {
    FieldSelector {
        field: selector.field,
        equals: selector.equals.unwrap_or_default(),
        starts_with: selector.starts_with.unwrap_or_default(),
        ends_with: selector.ends_with.unwrap_or_default(),
        not_equals: selector.not_equals.unwrap_or_default(),
        not_starts_with: selector.not_starts_with.unwrap_or_default(),
        not_ends_with: selector.not_ends_with.unwrap_or_default(),
    }
}

impl AdvancedSelector {
    fn describe(&self) -> AdvancedEventSelector {
        AdvancedEventSelector { name: self.name.clone(), field_selectors: self.fields.iter().map(FieldSelector::describe).collect() }
    }
}

impl FieldSelector {
    fn value_count(&self) -> usize {
        [&self.equals, &self.starts_with, &self.ends_with, &self.not_equals, &self.not_starts_with, &self.not_ends_with]
            .iter()
            .map(|values| values.len())
            .sum()
    }

    fn holds(&self, values: &[&str]) -> bool {
        let any =
            |wanted: &[String], test: fn(&str, &str) -> bool| values.iter().any(|value| wanted.iter().any(|wanted| test(value, wanted)));
        let equal = |value: &str, wanted: &str| value == wanted;
        let begins = |value: &str, wanted: &str| value.starts_with(wanted);
        let ends = |value: &str, wanted: &str| value.ends_with(wanted);
        (self.equals.is_empty() || any(&self.equals, equal))
            && (self.starts_with.is_empty() || any(&self.starts_with, begins))
            && (self.ends_with.is_empty() || any(&self.ends_with, ends))
            && !any(&self.not_equals, equal)
            && !any(&self.not_starts_with, begins)
            && !any(&self.not_ends_with, ends)
    }

    fn describe(&self) -> AdvancedFieldSelector {
        let given = |values: &Vec<String>| (!values.is_empty()).then(|| values.clone());
        AdvancedFieldSelector {
            field: self.field.clone(),
            equals: given(&self.equals),
            starts_with: given(&self.starts_with),
            ends_with: given(&self.ends_with),
            not_equals: given(&self.not_equals),
            not_starts_with: given(&self.not_starts_with),
            not_ends_with: given(&self.not_ends_with),
        }
    }
}

/// What an event has in a field; several values for the resources.
fn values<'a>(event: &'a Event, field: &str) -> Vec<&'a str> {
    match field {
        "eventCategory" => vec![&event.event_category],
        "eventSource" => vec![&event.event_source],
        "eventName" => vec![&event.event_name],
        "eventType" => vec![&event.event_type],
        "readOnly" => vec![if event.read_only { "true" } else { "false" }],
        "errorCode" => event.error_code.as_deref().into_iter().collect(),
        "userIdentity.arn" => event.user_identity.arn.as_deref().into_iter().collect(),
        "vpcEndpointId" => event.vpc_endpoint_id.as_deref().into_iter().collect(),
        "resources.type" => event.resources.iter().filter_map(|resource| resource.resource_type.as_deref()).collect(),
        "resources.ARN" => event.resources.iter().map(|resource| resource.arn.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(source: &str, name: &str, read_only: bool, object: Option<&str>) -> Event {
        serde_json::from_value(json!({
            "eventVersion": "1.11", "userIdentity": { "type": "Root" }, "eventTime": "2026-11-23T00:00:00Z", "eventSource": source,
            "eventName": name, "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1", "userAgent": "t", "requestParameters": null,
            "responseElements": null, "requestID": "r", "eventID": "e", "readOnly": read_only, "eventType": "AwsApiCall",
            "resources": object.map(|arn| vec![json!({ "type": "AWS::S3::Object", "ARN": arn })]).unwrap_or_default(),
            "managementEvent": object.is_none(), "recipientAccountId": "111111111111",
            "eventCategory": if object.is_none() { "Management" } else { "Data" },
        }))
        .unwrap()
    }

    #[test]
    fn basic_selectors() {
        let default = Selectors::default();
        assert!(default.select(&event("iam.amazonaws.com", "CreateUser", false, None)));
        assert!(!default.select(&event("s3.amazonaws.com", "GetObject", true, Some("arn:aws:s3:::b/k"))));
        let writes = EventSelector {
            read_write_type: Some(ReadWriteType::WriteOnly),
            data_resources: Some(vec![DataResource {
                type_: Some("AWS::S3::Object".to_owned()),
                values: Some(vec!["arn:aws:s3:::b/in/".to_owned()]),
            }]),
            exclude_management_event_sources: Some(vec!["kms.amazonaws.com".to_owned()]),
            ..EventSelector::default()
        };
        let writes = Selectors::from_basic(vec![writes]).unwrap();
        assert!(!writes.is_default());
        assert!(writes.select(&event("s3.amazonaws.com", "PutObject", false, Some("arn:aws:s3:::b/in/k"))));
        assert!(!writes.select(&event("s3.amazonaws.com", "PutObject", false, Some("arn:aws:s3:::b/out/k"))));
        assert!(!writes.select(&event("s3.amazonaws.com", "GetObject", true, Some("arn:aws:s3:::b/in/k"))));
        assert!(!writes.select(&event("kms.amazonaws.com", "CreateKey", false, None)));
        assert!(writes.select(&event("iam.amazonaws.com", "CreateUser", false, None)));
        assert!(Selectors::from_basic(Vec::new()).is_err());
        let unknown =
            EventSelector { exclude_management_event_sources: Some(vec!["iam.amazonaws.com".to_owned()]), ..EventSelector::default() };
        assert!(Selectors::from_basic(vec![unknown]).is_err());
    }

    fn field_of(name: &str, equals: &[&str]) -> AdvancedFieldSelector {
        AdvancedFieldSelector {
            field: name.to_owned(),
            equals: Some(equals.iter().map(|value| (*value).to_owned()).collect()),
            ..AdvancedFieldSelector::default()
        }
    }

    #[test]
    fn advanced_selectors() {
        let mut arn = field_of("resources.ARN", &[]);
        arn.equals = None;
        arn.starts_with = Some(vec!["arn:aws:s3:::b/".to_owned()]);
        arn.not_ends_with = Some(vec![".tmp".to_owned()]);
        let data = AdvancedEventSelector {
            name: Some("objects".to_owned()),
            field_selectors: vec![field_of("eventCategory", &["Data"]), field_of("resources.type", &["AWS::S3::Object"]), arn],
        };
        let selectors = Selectors::from_advanced(vec![data]).unwrap();
        assert!(selectors.select(&event("s3.amazonaws.com", "GetObject", true, Some("arn:aws:s3:::b/k"))));
        assert!(!selectors.select(&event("s3.amazonaws.com", "GetObject", true, Some("arn:aws:s3:::b/k.tmp"))));
        assert!(!selectors.select(&event("iam.amazonaws.com", "CreateUser", false, None)));
        let network = [field_of("eventCategory", &["NetworkActivity"]), field_of("eventSource", &["kms.amazonaws.com"])];
        let denied = [network[0].clone(), network[1].clone(), field_of("errorCode", &["VpceAccessDenied"])].to_vec();
        let denied = Selectors::from_advanced(vec![AdvancedEventSelector { name: None, field_selectors: denied }]).unwrap();
        let mut refused = event("kms.amazonaws.com", "ListKeys", true, None);
        assert!(!denied.select(&refused));
        refused.event_category = "NetworkActivity".to_owned();
        refused.management_event = false;
        assert!(!denied.select(&refused) && !Selectors::default().select(&refused));
        refused.error_code = Some("VpceAccessDenied".to_owned());
        assert!(denied.select(&refused));
        for wrong in [
            vec![field_of("eventName", &["GetObject"])],
            vec![field_of("eventCategory", &["Data"])],
            vec![field_of("eventCategory", &["NetworkActivity"])],
            vec![field_of("eventCategory", &["NetworkActivity"]), field_of("eventSource", &["kms.amazonaws.com", "s3.amazonaws.com"])],
            vec![network[0].clone(), network[1].clone(), field_of("errorCode", &["AccessDenied"])],
            vec![network[0].clone(), network[1].clone(), field_of("readOnly", &["true"])],
            vec![field_of("eventCategory", &["Management"]), field_of("colour", &["red"])],
            vec![field_of("eventCategory", &["Management"]), field_of("readOnly", &["maybe"])],
        ] {
            assert!(Selectors::from_advanced(vec![AdvancedEventSelector { name: None, field_selectors: wrong }]).is_err());
        }
    }
}
