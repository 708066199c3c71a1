//! Condition keys of single services that say what a member of the input says: which member, for each key.
//!
//! A source is the end of a member path: `KmsKeyId` stands for every member of that name, `OutputDataConfig.KmsKeyId` only for the one in
//! an output. A key without such a member in the request is a key that the request does not have. Keys that need more than the input (an
//! object's tags, a subnet's network) are the business of the services; what nobody gives is listed in `unprovided_condition_keys.txt`.
//!
//! Source: Service Authorization Reference, the condition keys of each service.

use policy::Values;
use std::borrow::Cow;
use wire::Value;

use crate::call::Call;

/// How the values of the members become those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Single-valued.
    One,
    /// Multi-valued.
    Many,
    /// Single-valued; a name becomes an ARN, which ends in what is given here.
    Arn(&'static str),
    /// As `Arn`, multi-valued.
    ManyArns(&'static str),
}

use Form::{Arn, Many, ManyArns, One};

/// Keys in lower case, in ascending order, each with its form and the members that it is read from.
const KEYS: [(&str, Form, &[&str]); 148] = [
    ("bedrock:dataretentionmode", One, &["mode"]),
    ("comprehend:outputkmskey", One, &["OutputDataConfig.KmsKeyId"]),
    ("config:configurationrecorderserviceprincipal", One, &["ServicePrincipal"]),
    ("ec2:acceptervpc", Arn("vpc/"), &["PeerVpcId"]),
    ("ec2:allocationid", One, &["AllocationId"]),
    ("ec2:associatepublicipaddress", One, &["AssociatePublicIpAddress"]),
    ("ec2:authorizedservice", One, &["AwsService"]),
    ("ec2:authorizeduser", One, &["AwsAccountId"]),
    ("ec2:availabilityzone", One, &["AvailabilityZone"]),
    ("ec2:availabilityzoneid", One, &["AvailabilityZoneId"]),
    ("ec2:cpuoptionsamdsevsnp", One, &["AmdSevSnp"]),
    ("ec2:dhcpoptionsid", One, &["DhcpOptionsId"]),
    ("ec2:domain", One, &["Domain"]),
    ("ec2:ebsoptimized", One, &["EbsOptimized"]),
    ("ec2:instanceautorecovery", One, &["AutoRecovery"]),
    ("ec2:instancebandwidthweighting", One, &["BandwidthWeighting"]),
    ("ec2:instanceid", One, &["InstanceId"]),
    ("ec2:instancemetadatatags", One, &["InstanceMetadataTags"]),
    ("ec2:instanceprofile", One, &["IamInstanceProfile.Arn"]),
    ("ec2:instancetype", One, &["InstanceType"]),
    ("ec2:internetgatewayid", One, &["InternetGatewayId"]),
    ("ec2:ipv4ipampoolid", One, &["Ipv4IpamPoolId"]),
    ("ec2:ipv6ipampoolid", One, &["Ipv6IpamPoolId"]),
    ("ec2:metadatahttpendpoint", One, &["HttpEndpoint"]),
    ("ec2:metadatahttpputresponsehoplimit", One, &["HttpPutResponseHopLimit"]),
    ("ec2:metadatahttptokens", One, &["HttpTokens"]),
    ("ec2:networkaclid", One, &["NetworkAclId"]),
    ("ec2:networkinterfaceid", One, &["NetworkInterfaceId"]),
    ("ec2:newinstanceprofile", One, &["IamInstanceProfile.Arn"]),
    ("ec2:permission", One, &["Permission"]),
    ("ec2:placementgroup", Arn("placement-group/"), &["Placement.GroupName"]),
    ("ec2:publicipaddress", One, &["PublicIp"]),
    ("ec2:requestervpc", Arn("vpc/"), &["VpcId"]),
    ("ec2:routetableid", One, &["RouteTableId"]),
    ("ec2:securitygroupid", One, &["GroupId"]),
    ("ec2:subnet", Arn("subnet/"), &["SubnetId"]),
    ("ec2:subnetid", One, &["SubnetId"]),
    ("ec2:tenancy", One, &["Tenancy", "InstanceTenancy"]),
    ("ec2:transitgatewayattachmentid", One, &["TransitGatewayAttachmentId"]),
    ("ec2:transitgatewayid", One, &["TransitGatewayId"]),
    ("ec2:transitgatewayroutetableannouncementid", One, &["TransitGatewayRouteTableAnnouncementId"]),
    ("ec2:transitgatewayroutetableid", One, &["TransitGatewayRouteTableId"]),
    ("ec2:vpc", Arn("vpc/"), &["VpcId"]),
    ("ec2:vpceprivatednspreference", One, &["PrivateDnsPreference"]),
    ("ec2:vpceprivatednsspecifieddomains", Many, &["PrivateDnsSpecifiedDomains"]),
    ("ec2:vpceservicename", One, &["ServiceName"]),
    ("ec2:vpceserviceprivatednsname", One, &["PrivateDnsName"]),
    ("ec2:vpceserviceregion", One, &["ServiceRegion"]),
    ("ec2:vpcid", One, &["VpcId"]),
    ("ec2:vpcpeeringconnectionid", One, &["VpcPeeringConnectionId"]),
    ("ecr:accountsetting", One, &["name"]),
    ("events:detail-type", Many, &["Entries.DetailType"]),
    ("events:eventbusarn", Many, &["EventBusArn"]),
    ("events:source", Many, &["Entries.Source"]),
    ("events:targetarn", Many, &["Targets.Arn"]),
    ("iam:notificationchannel", One, &["NotificationChannel"]),
    ("iam:organizationspolicyid", One, &["OrganizationsPolicyId"]),
    ("iam:roletemplatearn", One, &["TemplateArn"]),
    ("iam:servicespecificcredentialagedays", One, &["CredentialAgeDays"]),
    ("iam:servicespecificcredentialservicename", One, &["ServiceName"]),
    ("iam:templatearn", One, &["PolicyTemplateArn", "TemplateArn"]),
    ("kms:datakeypairspec", One, &["KeyPairSpec"]),
    ("kms:encapsulationalgorithm", One, &["EncapsulationAlgorithm"]),
    ("kms:expirationmodel", One, &["ExpirationModel"]),
    ("kms:grantconstraintsourcearn", One, &["Constraints.SourceArn"]),
    ("kms:granteeserviceprincipal", One, &["GranteeServicePrincipal"]),
    ("kms:keyagreementalgorithm", One, &["KeyAgreementAlgorithm"]),
    ("kms:messagetype", One, &["MessageType"]),
    ("kms:primaryregion", One, &["PrimaryRegion"]),
    ("kms:replicaregion", One, &["ReplicaRegion"]),
    ("kms:retiringserviceprincipal", One, &["RetiringServicePrincipal"]),
    ("kms:signingalgorithm", One, &["SigningAlgorithm"]),
    ("kms:validto", One, &["ValidTo"]),
    ("kms:wrappingalgorithm", One, &["WrappingAlgorithm"]),
    ("kms:wrappingkeyspec", One, &["WrappingKeySpec"]),
    ("lambda:codesigningconfigarn", One, &["CodeSigningConfigArn"]),
    ("lambda:eventsourcetoken", One, &["EventSourceToken"]),
    ("lambda:functionarn", Arn("function:"), &["FunctionName"]),
    ("lambda:functionurlauthtype", One, &["FunctionUrlAuthType", "AuthType"]),
    ("lambda:layer", Many, &["Layers"]),
    ("lambda:principal", One, &["Principal"]),
    ("lambda:securitygroupids", Many, &["SecurityGroupIds"]),
    ("lambda:subnetids", Many, &["SubnetIds"]),
    ("logs:deliverydestinationresourcearn", One, &["destinationResourceArn"]),
    ("logs:loggeneratingresourcearns", Many, &["resourceArn"]),
    ("organizations:transfertype", One, &["Type"]),
    ("ram:principal", Many, &["principals"]),
    ("ram:requestedallowsexternalprincipals", One, &["allowExternalPrincipals"]),
    ("ram:resourcearn", Many, &["resourceArns"]),
    ("ram:resourcesharename", One, &["name"]),
    ("s3:accessgrantslocationscope", One, &["LocationScope"]),
    ("s3:requestjobpriority", One, &["Priority"]),
    ("sagemaker:acceleratortypes", Many, &["AcceleratorType", "AcceleratorTypes"]),
    ("sagemaker:appnetworkaccesstype", One, &["AppNetworkAccessType"]),
    ("sagemaker:authmode", One, &["AuthMode"]),
    ("sagemaker:customermetadatapropertiestoremove", Many, &["CustomerMetadataPropertiesToRemove"]),
    ("sagemaker:directinternetaccess", One, &["DirectInternetAccess"]),
    ("sagemaker:domainsharingoutputkmskeyarn", One, &["SharingSettings.S3KmsKeyId"]),
    ("sagemaker:enableremotedebug", One, &["EnableRemoteDebug"]),
    ("sagemaker:featuregroupdisablegluetablecreation", One, &["DisableGlueTableCreation"]),
    ("sagemaker:featuregroupenableonlinestore", One, &["EnableOnlineStore"]),
    ("sagemaker:featuregroupofflinestorekmskeyarn", One, &["S3StorageConfig.KmsKeyId"]),
    ("sagemaker:featuregroupofflinestores3uri", One, &["S3StorageConfig.S3Uri"]),
    ("sagemaker:featuregrouponlinestorekmskeyarn", One, &["OnlineStoreConfig.SecurityConfig.KmsKeyId"]),
    ("sagemaker:filesystemaccessmode", One, &["FileSystemAccessMode"]),
    ("sagemaker:filesystemdirectorypath", One, &["FileSystemDataSource.DirectoryPath"]),
    ("sagemaker:filesystemid", One, &["FileSystemId"]),
    ("sagemaker:filesystemtype", One, &["FileSystemType"]),
    ("sagemaker:imagearns", Many, &["SageMakerImageArn", "ImageArn"]),
    ("sagemaker:imageversionarns", Many, &["SageMakerImageVersionArn", "ImageVersionArn"]),
    ("sagemaker:instancetypes", Many, &["InstanceType", "InstanceTypes"]),
    ("sagemaker:intercontainertrafficencryption", One, &["EnableInterContainerTrafficEncryption"]),
    ("sagemaker:keepaliveperiod", One, &["KeepAlivePeriodInSeconds"]),
    ("sagemaker:maxruntimeinseconds", One, &["MaxRuntimeInSeconds"]),
    ("sagemaker:minimuminstancemetadataserviceversion", One, &["MinimumInstanceMetadataServiceVersion"]),
    ("sagemaker:modelapprovalstatus", One, &["ModelApprovalStatus"]),
    ("sagemaker:modelarn", Arn("model/"), &["ModelName"]),
    ("sagemaker:modellifecycle:stage", One, &["ModelLifeCycle.Stage"]),
    ("sagemaker:modellifecycle:stagestatus", One, &["ModelLifeCycle.StageStatus"]),
    ("sagemaker:networkisolation", One, &["EnableNetworkIsolation"]),
    (
        "sagemaker:notebookinstancelifecycleconfigarns",
        ManyArns("notebook-instance-lifecycle-config/"),
        &["NotebookInstanceLifecycleConfigName", "LifecycleConfigName"],
    ),
    (
        "sagemaker:outputkmskeyarn",
        One,
        &[
            "OutputDataConfig.KmsKeyId",
            "OutputConfig.KmsKeyId",
            "MonitoringOutputConfig.KmsKeyId",
            "ProcessingOutputConfig.KmsKeyId",
            "TransformOutput.KmsKeyId",
            "DataCaptureConfig.KmsKeyId",
        ],
    ),
    ("sagemaker:pipelineversionid", One, &["PipelineVersionId"]),
    ("sagemaker:remoteaccess", One, &["RemoteAccess"]),
    ("sagemaker:rootaccess", One, &["RootAccess"]),
    ("sagemaker:serverlessmaxconcurrency", One, &["ServerlessConfig.MaxConcurrency"]),
    ("sagemaker:serverlessmemorysize", One, &["ServerlessConfig.MemorySizeInMB"]),
    ("sagemaker:spacesharingtype", One, &["SharingType"]),
    ("sagemaker:studiolifecycleconfigarns", Many, &["LifecycleConfigArn", "LifecycleConfigArns"]),
    ("sagemaker:targetmodel", One, &["TargetModel"]),
    ("sagemaker:volumekmskeyarn", One, &["VolumeKmsKeyId"]),
    ("sagemaker:vpcsecuritygroupids", Many, &["SecurityGroupIds", "SecurityGroups", "VpcConfig.SecurityGroupIds"]),
    ("sagemaker:vpcsubnets", Many, &["Subnets", "SubnetIds", "SubnetId"]),
    ("sagemaker:workteamarn", One, &["WorkteamArn"]),
    ("securityhub:targetaccount", One, &["AccountId", "AwsAccountId"]),
    ("sns:endpoint", One, &["Endpoint"]),
    ("sns:protocol", One, &["Protocol"]),
    ("ssm:autoapprove", One, &["AutoApprove"]),
    ("ssm:documenttype", One, &["DocumentType"]),
    ("ssm:documentversion", One, &["DocumentVersion"]),
    ("ssm:inventorytypename", Many, &["Items.TypeName"]),
    ("ssm:overwrite", One, &["Overwrite"]),
    ("ssm:policies", One, &["Policies"]),
    ("ssm:recursive", One, &["Recursive"]),
    ("ssm:synctype", One, &["SyncType"]),
    ("sts:identitytokenaudience", Many, &["Audience"]),
    ("sts:signingalgorithm", One, &["SigningAlgorithm"]),
    ("sts:taskpolicyarn", One, &["TaskPolicyArn.arn"]),
];

/// Deepest nesting of members that is searched.
const DEPTH_MAX: usize = 12;
/// Most values of a key.
const VALUES_MAX: usize = 1_000;

/// The values of a key (in lower case) that the input itself gives.
pub(crate) fn values(call: &Call, input: &Value, key: &str) -> Option<Values<'static>> {
    let prefix = key.split(':').next()?;
    if prefix != call.service.head.iam_prefix {
        return None;
    }
    if key == "ec2:region" {
        return Some(Values::One(Cow::Owned(call.region.clone())));
    }
    let at = KEYS.binary_search_by_key(&key, |(name, ..)| name).ok()?;
    let (_, form, sources) = KEYS.get(at)?;
    let mut found = Vec::new();
    search(input, &mut Vec::new(), sources, &mut found);
    let arn = |name: String, end: &str| {
        if name.starts_with("arn:") {
            return name;
        }
        format!("arn:{}:{}:{}:{}:{end}{name}", crate::PARTITION, prefix, call.region, call.account)
    };
    match form {
        One => found.into_iter().next().map(|value| Values::One(Cow::Owned(value))),
        Arn(end) => found.into_iter().next().map(|value| Values::One(Cow::Owned(arn(value, end)))),
        Many => (!found.is_empty()).then(|| Values::Many(found.into_iter().map(Cow::Owned).collect())),
        ManyArns(end) => (!found.is_empty()).then(|| Values::Many(found.into_iter().map(|value| Cow::Owned(arn(value, end))).collect())),
    }
}

/// Collects the texts at the members whose path ends in one of the sources.
fn search<'v>(value: &'v Value, path: &mut Vec<&'v str>, sources: &[&str], found: &mut Vec<String>) {
    if path.len() > DEPTH_MAX || found.len() >= VALUES_MAX {
        return;
    }
    match value {
        Value::Struct(members) => {
            for (name, member) in members.iter() {
                path.push(name);
                search(member, path, sources, found);
                path.pop();
            }
        }
        Value::Map(entries) => {
            for (name, member) in entries {
                path.push(name);
                search(member, path, sources, found);
                path.pop();
            }
        }
        Value::List(items) => items.iter().for_each(|item| search(item, path, sources, found)),
        leaf => {
            if sources.iter().any(|source| ends_with(path, source)) {
                found.extend(text(leaf));
            }
        }
    }
}

fn ends_with(path: &[&str], source: &str) -> bool {
    let mut names = path.iter().rev();
    source.rsplit('.').all(|wanted| names.next() == Some(&wanted))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Time(time) => Some(crate::clock::iso8601_s(time.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Struct;

    #[test]
    fn keys_are_in_order_and_in_the_facts() {
        assert!(KEYS.is_sorted_by(|(left, ..), (right, ..)| left < right));
        for (key, _, sources) in KEYS {
            assert!(!sources.is_empty() && key == key.to_lowercase(), "{key}");
        }
    }

    #[test]
    fn members_are_found_by_the_end_of_their_path() {
        let structure = |name, value| {
            let mut members = Struct::new();
            members.set(name, value);
            Value::Struct(members)
        };
        let key = |text: &str| structure("KmsKeyId", Value::Str(text.to_owned()));
        let mut input = Struct::new();
        input.set("OutputDataConfig", key("out"));
        input.set("Clusters", Value::List(vec![key("one"), key("two")]));
        let input = Value::Struct(input);
        let found = |sources: &[&str]| {
            let mut found = Vec::new();
            search(&input, &mut Vec::new(), sources, &mut found);
            found
        };
        assert_eq!(found(&["KmsKeyId"]), ["out", "one", "two"]);
        assert_eq!(found(&["OutputDataConfig.KmsKeyId"]), ["out"]);
        assert_eq!(found(&["KeyId"]), Vec::<String>::new());
    }
}
