//! The columns of a class's events, for files that need a schema: version 1.1.0 and later. What is not among them goes into `unmapped`.

use crate::Class;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Integer,
    Long,
    Boolean,
    /// Names to texts.
    TextMap,
    List(Box<Shape>),
    Group(Vec<(&'static str, Shape)>),
}

use Shape::{Boolean, Group, Integer, Long, Text};

fn texts() -> Shape {
    Shape::List(Box::new(Text))
}

fn endpoint() -> Shape {
    Group(vec![("uid", Text), ("ip", Text), ("domain", Text), ("svc_name", Text)])
}

fn user() -> Shape {
    Group(vec![
        ("type", Text),
        ("type_id", Integer),
        ("name", Text),
        ("uid", Text),
        ("uid_alt", Text),
        ("credential_uid", Text),
        ("account", Group(vec![("uid", Text), ("type", Text), ("type_id", Integer)])),
    ])
}

fn resources() -> Shape {
    let owner = Group(vec![("account", Group(vec![("uid", Text)]))]);
    Shape::List(Box::new(Group(vec![("uid", Text), ("owner", owner), ("type", Text)])))
}

/// Columns of the class, in order.
pub fn columns(class: Class) -> Vec<(&'static str, Shape)> {
    let product = Group(vec![("version", Text), ("name", Text), ("vendor_name", Text), ("feature", Group(vec![("name", Text)]))]);
    let metadata = Group(vec![
        ("product", product),
        ("uid", Text),
        ("event_code", Text),
        ("log_provider", Text),
        ("profiles", texts()),
        ("version", Text),
    ]);
    let api = Group(vec![
        ("response", Group(vec![("error", Text), ("message", Text)])),
        ("operation", Text),
        ("version", Text),
        ("service", Group(vec![("name", Text)])),
        ("request", Group(vec![("uid", Text)])),
    ]);
    let session = Group(vec![("created_time", Long), ("is_mfa", Boolean), ("issuer", Text)]);
    let actor = Group(vec![("user", user()), ("session", session), ("invoked_by", Text), ("idp", Group(vec![("name", Text)]))]);
    let mut columns = vec![
        ("metadata", metadata),
        ("time", Long),
        ("time_dt", Text),
        ("cloud", Group(vec![("region", Text), ("provider", Text), ("account", Group(vec![("uid", Text)]))])),
        ("api", api),
        ("actor", actor),
        ("http_request", Group(vec![("user_agent", Text)])),
        ("src_endpoint", endpoint()),
        ("class_name", Text),
        ("class_uid", Integer),
        ("category_name", Text),
        ("category_uid", Integer),
        ("activity_name", Text),
        ("activity_id", Integer),
        ("type_uid", Long),
        ("type_name", Text),
        ("severity_id", Integer),
        ("severity", Text),
        ("status_id", Integer),
        ("status", Text),
        ("status_code", Text),
        ("status_detail", Text),
    ];
    match class {
        Class::ApiActivity => columns.push(("resources", resources())),
        Class::AccountChange => columns.extend([("user", user()), ("policy", Group(vec![("uid", Text)]))]),
        Class::Authentication => {
            columns.extend([("user", user()), ("is_mfa", Boolean), ("dst_endpoint", endpoint()), ("auth_protocol", Text)]);
        }
        Class::DetectionFinding => {
            let analytic = Group(vec![("name", Text), ("type", Text), ("type_id", Integer)]);
            let finding = Group(vec![("uid", Text), ("title", Text), ("types", texts()), ("created_time", Long), ("analytic", analytic)]);
            columns.extend([("finding_info", finding), ("is_alert", Boolean), ("resources", resources())]);
        }
    }
    columns.push(("unmapped", Shape::TextMap));
    columns
}
