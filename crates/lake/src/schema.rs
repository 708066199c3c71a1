//! The columns of an event data store.
//!
//! Source: CloudTrail User Guide, "Supported SQL schemas for event data stores".

/// What a value is, for comparing and for showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Boolean,
    /// `YYYY-MM-DD HH:MM:SS.mmm` in UTC.
    Timestamp,
    /// `YYYY-MM-DD`.
    Date,
    Integer,
    Double,
    /// Names to texts.
    Map,
    Array(&'static [Field]),
    Struct(&'static [Field]),
    /// A JSON value.
    Json,
    /// A span of time that can be added to a timestamp.
    Interval,
    /// `NULL`, or a parameter.
    Unknown,
}

/// A column or a member of a structure.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// As SQL names it, in lower case.
    pub name: &'static str,
    /// As the event's JSON names it.
    pub member: &'static str,
    pub kind: Kind,
}

const fn field(name: &'static str, member: &'static str, kind: Kind) -> Field {
    Field { name, member, kind }
}

/// Which kind of events a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Records of calls.
    CloudTrail,
    /// Events that channels take from elsewhere (`ActivityAuditLog`).
    ActivityAuditLog,
}

impl Schema {
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::CloudTrail => EVENT,
            Self::ActivityAuditLog => ACTIVITY,
        }
    }

    /// The column of this name, however it is written.
    pub fn find(self, name: &str) -> Option<&'static Field> {
        find(self.fields(), name)
    }
}

pub(crate) fn find(fields: &'static [Field], name: &str) -> Option<&'static Field> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

/// The member of the event that `eventjson` stands for: all of it.
pub(crate) const WHOLE: &str = "";

const ISSUER: &[Field] = &[
    field("type", "type", Kind::Text),
    field("principalid", "principalId", Kind::Text),
    field("arn", "arn", Kind::Text),
    field("accountid", "accountId", Kind::Text),
    field("username", "userName", Kind::Text),
];

const SESSION_ATTRIBUTES: &[Field] =
    &[field("creationdate", "creationDate", Kind::Timestamp), field("mfaauthenticated", "mfaAuthenticated", Kind::Text)];

const WEB_FEDERATION: &[Field] =
    &[field("federatedprovider", "federatedProvider", Kind::Text), field("attributes", "attributes", Kind::Map)];

const SESSION: &[Field] = &[
    field("attributes", "attributes", Kind::Struct(SESSION_ATTRIBUTES)),
    field("sessionissuer", "sessionIssuer", Kind::Struct(ISSUER)),
    field("webidfederationdata", "webIdFederationData", Kind::Struct(WEB_FEDERATION)),
    field("sourceidentity", "sourceIdentity", Kind::Text),
    field("ec2roledelivery", "ec2RoleDelivery", Kind::Text),
    field("ec2issuedinvpc", "ec2IssuedInVpc", Kind::Text),
];

const ON_BEHALF_OF: &[Field] = &[field("userid", "userId", Kind::Text), field("identitystorearn", "identityStoreArn", Kind::Text)];

const IN_SCOPE_OF: &[Field] = &[
    field("sourcearn", "sourceArn", Kind::Text),
    field("sourceaccount", "sourceAccount", Kind::Text),
    field("issuertype", "issuerType", Kind::Text),
    field("credentialsissuedto", "credentialsIssuedTo", Kind::Text),
];

const IDENTITY: &[Field] = &[
    field("type", "type", Kind::Text),
    field("principalid", "principalId", Kind::Text),
    field("arn", "arn", Kind::Text),
    field("accountid", "accountId", Kind::Text),
    field("accesskeyid", "accessKeyId", Kind::Text),
    field("username", "userName", Kind::Text),
    field("sessioncontext", "sessionContext", Kind::Struct(SESSION)),
    field("onbehalfof", "onBehalfOf", Kind::Struct(ON_BEHALF_OF)),
    field("inscopeof", "inScopeOf", Kind::Struct(IN_SCOPE_OF)),
    field("invokedby", "invokedBy", Kind::Text),
    field("identityprovider", "identityProvider", Kind::Text),
];

const RESOURCE: &[Field] = &[
    field("accountid", "accountId", Kind::Text),
    field("type", "type", Kind::Text),
    field("arn", "ARN", Kind::Text),
    field("arnprefix", "ARNPrefix", Kind::Text),
];

const ADDENDUM: &[Field] = &[
    field("reason", "reason", Kind::Text),
    field("updatedfields", "updatedFields", Kind::Text),
    field("originalrequestid", "originalRequestID", Kind::Text),
    field("originaleventid", "originalEventID", Kind::Text),
];

const TLS: &[Field] = &[
    field("tlsversion", "tlsVersion", Kind::Text),
    field("ciphersuite", "cipherSuite", Kind::Text),
    field("clientprovidedhostheader", "clientProvidedHostHeader", Kind::Text),
    field("keyexchange", "keyExchange", Kind::Text),
];

const RESOURCE_TAGS: &[Field] = &[field("arn", "arn", Kind::Text), field("tags", "tags", Kind::Map)];

const TAG_CONTEXT: &[Field] =
    &[field("resourcetags", "resourceTags", Kind::Array(RESOURCE_TAGS)), field("principaltags", "principalTags", Kind::Map)];

const CONTEXT: &[Field] =
    &[field("requestcontext", "requestContext", Kind::Map), field("tagcontext", "tagContext", Kind::Struct(TAG_CONTEXT))];

const EVENT: &[Field] = &[
    field("eventversion", "eventVersion", Kind::Text),
    field("useridentity", "userIdentity", Kind::Struct(IDENTITY)),
    field("eventtime", "eventTime", Kind::Timestamp),
    field("eventsource", "eventSource", Kind::Text),
    field("eventname", "eventName", Kind::Text),
    field("awsregion", "awsRegion", Kind::Text),
    field("sourceipaddress", "sourceIPAddress", Kind::Text),
    field("useragent", "userAgent", Kind::Text),
    field("errorcode", "errorCode", Kind::Text),
    field("errormessage", "errorMessage", Kind::Text),
    field("requestparameters", "requestParameters", Kind::Map),
    field("responseelements", "responseElements", Kind::Map),
    field("additionaleventdata", "additionalEventData", Kind::Map),
    field("requestid", "requestID", Kind::Text),
    field("eventid", "eventID", Kind::Text),
    field("readonly", "readOnly", Kind::Boolean),
    field("resources", "resources", Kind::Array(RESOURCE)),
    field("eventtype", "eventType", Kind::Text),
    field("apiversion", "apiVersion", Kind::Text),
    field("managementevent", "managementEvent", Kind::Boolean),
    field("recipientaccountid", "recipientAccountId", Kind::Text),
    field("sharedeventid", "sharedEventID", Kind::Text),
    field("annotation", "annotation", Kind::Text),
    field("vpcendpointid", "vpcEndpointId", Kind::Text),
    field("vpcendpointaccountid", "vpcEndpointAccountId", Kind::Text),
    field("serviceeventdetails", "serviceEventDetails", Kind::Map),
    field("addendum", "addendum", Kind::Struct(ADDENDUM)),
    field("edgedevicedetails", "edgeDeviceDetails", Kind::Map),
    field("insightdetails", "insightDetails", Kind::Map),
    field("eventcategory", "eventCategory", Kind::Text),
    field("tlsdetails", "tlsDetails", Kind::Struct(TLS)),
    field("sessioncredentialfromconsole", "sessionCredentialFromConsole", Kind::Text),
    field("eventcontext", "eventContext", Kind::Struct(CONTEXT)),
    field("eventjson", WHOLE, Kind::Text),
    field("eventjsonchecksum", "eventJsonChecksum", Kind::Text),
];

const METADATA: &[Field] = &[field("ingestiontime", "ingestionTime", Kind::Text), field("channelarn", "channelARN", Kind::Text)];

const ACTIVITY_IDENTITY: &[Field] =
    &[field("type", "type", Kind::Text), field("principalid", "principalId", Kind::Text), field("details", "details", Kind::Map)];

const ACTIVITY_DATA: &[Field] = &[
    field("version", "version", Kind::Text),
    field("useridentity", "userIdentity", Kind::Struct(ACTIVITY_IDENTITY)),
    field("useragent", "userAgent", Kind::Text),
    field("eventsource", "eventSource", Kind::Text),
    field("eventname", "eventName", Kind::Text),
    field("eventtime", "eventTime", Kind::Text),
    field("uid", "UID", Kind::Text),
    field("requestparameters", "requestParameters", Kind::Map),
    field("responseelements", "responseElements", Kind::Map),
    field("errorcode", "errorCode", Kind::Text),
    field("errormessage", "errorMessage", Kind::Text),
    field("sourceipaddress", "sourceIPAddress", Kind::Text),
    field("recipientaccountid", "recipientAccountId", Kind::Text),
    field("additionaleventdata", "additionalEventData", Kind::Map),
];

const ACTIVITY: &[Field] = &[
    field("eventversion", "eventVersion", Kind::Text),
    field("eventcategory", "eventCategory", Kind::Text),
    field("eventtype", "eventType", Kind::Text),
    field("eventid", "eventID", Kind::Text),
    field("eventtime", "eventTime", Kind::Timestamp),
    field("awsregion", "awsRegion", Kind::Text),
    field("recipientaccountid", "recipientAccountId", Kind::Text),
    field("addendum", "addendum", Kind::Struct(ADDENDUM)),
    field("metadata", "metadata", Kind::Struct(METADATA)),
    field("eventdata", "eventData", Kind::Struct(ACTIVITY_DATA)),
    field("eventjson", WHOLE, Kind::Text),
    field("eventjsonchecksum", "eventJsonChecksum", Kind::Text),
];
