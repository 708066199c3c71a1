//! Steps 1 to 3: identities, keys and data, least privilege.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use zeroize::Zeroizing;

use super::stage::{FILE, Stage, list, object, text, text_at};
use crate::client::{ClientError, Credentials};
use crate::command::Failure;

const ADMINISTRATOR_ACCESS: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
pub const OBJECT_KEY: &str = "patients.csv";

async fn user(stage: &mut Stage, name: &str) -> Result<Credentials, ClientError> {
    let root = stage.root.clone();
    stage.call(&root, "iam", "CreateUser", object([("UserName", text(name))])).await?;
    let made = stage.call(&root, "iam", "CreateAccessKey", object([("UserName", text(name))])).await?;
    Ok(Credentials {
        access_key_id: text_at(&made, "AccessKey.AccessKeyId"),
        secret_access_key: Zeroizing::new(text_at(&made, "AccessKey.SecretAccessKey")),
        session_token: None,
    })
}

async fn user_policy(stage: &mut Stage, name: &str, policy_name: &str, policy: serde_json::Value) -> Result<(), ClientError> {
    let root = stage.root.clone();
    let input = object([("UserName", text(name)), ("PolicyName", text(policy_name)), ("PolicyDocument", text(policy.to_string()))]);
    stage.call(&root, "iam", "PutUserPolicy", input).await.map(|_| ())
}

/// Step 1: the root user makes an administrator, a data scientist and the application's role, and is not needed again.
pub async fn identities(stage: &mut Stage) -> Result<(), Failure> {
    let root = stage.root.clone();
    let arn = stage.identity(&root).await?;
    let generated = root.access_key_id.starts_with("AKIA") && root.secret_access_key.len() == 40;
    stage.prove(
        "root credentials were generated at this start, not defaults",
        generated && arn == format!("arn:aws:iam::{}:root", stage.account),
        arn,
    )?;

    stage.administrator = user(stage, "administrator").await?;
    let attach = object([("UserName", text("administrator")), ("PolicyArn", text(ADMINISTRATOR_ACCESS))]);
    stage.call(&root, "iam", "AttachUserPolicy", attach).await?;
    stage.scientist = user(stage, "data-scientist").await?;
    user_policy(
        stage,
        "data-scientist",
        "data-science",
        json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Notebooks", "Effect": "Allow", "Action": "sagemaker:*", "Resource": "*" },
            { "Sid": "ReadTrainingData", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::demo-*"] },
            { "Sid": "ProtectProduction", "Effect": "Deny", "Action": "sagemaker:Delete*", "Resource": "arn:aws:sagemaker:*:*:endpoint/production-*" },
        ] }),
    )
    .await?;
    stage.host = user(stage, "chat-app-host").await?;
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{}:user/chat-app-host", stage.account) },
        "Condition": { "StringEquals": { "sts:ExternalId": "chat-app" } },
    }] });
    let administrator = stage.administrator.clone();
    let role = object([("RoleName", text("chat-app")), ("AssumeRolePolicyDocument", text(trust.to_string()))]);
    stage.call(&administrator, "iam", "CreateRole", role).await?;
    let permissions = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "bedrock:ApplyGuardrail"], "Resource": "*" },
        { "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::demo-*" },
    ] });
    let inline =
        object([("RoleName", text("chat-app")), ("PolicyName", text("chat-app")), ("PolicyDocument", text(permissions.to_string()))]);
    stage.call(&administrator, "iam", "PutRolePolicy", inline).await?;
    let who = stage.identity(&administrator).await?;
    stage.prove("an administrator, a data scientist, and a role for the application exist", who.ends_with(":user/administrator"), who)?;

    let without_id = object([("RoleArn", text(role_arn(stage))), ("RoleSessionName", text("demo"))]);
    let host = stage.host.clone();
    let refused = stage.call(&host, "sts", "AssumeRole", without_id).await;
    stage.prove_refused("the role cannot be assumed without its external id", refused, "AccessDenied", 403, &["sts:AssumeRole"])?;
    let with_id = object([("RoleArn", text(role_arn(stage))), ("RoleSessionName", text("demo")), ("ExternalId", text("chat-app"))]);
    let assumed = stage.call(&host, "sts", "AssumeRole", with_id).await?;
    stage.app = Credentials {
        access_key_id: text_at(&assumed, "Credentials.AccessKeyId"),
        secret_access_key: Zeroizing::new(text_at(&assumed, "Credentials.SecretAccessKey")),
        session_token: Some(text_at(&assumed, "Credentials.SessionToken")),
    };
    let app = stage.app.clone();
    let arn = stage.identity(&app).await?;
    stage.prove("the application has a session of the role, and no long-term key of it", arn.contains(":assumed-role/chat-app/demo"), arn)
}

fn role_arn(stage: &Stage) -> String {
    format!("arn:aws:iam::{}:role/chat-app", stage.account)
}

/// Step 2: a key for the administrator and the role only, a bucket that encrypts with it, a file.
pub async fn data(stage: &mut Stage) -> Result<(), Failure> {
    let administrator = stage.administrator.clone();
    let key_policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "Administrator", "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{}:user/administrator", stage.account) }, "Action": "kms:*", "Resource": "*" },
        { "Sid": "Application", "Effect": "Allow", "Principal": { "AWS": role_arn(stage) }, "Action": ["kms:Decrypt", "kms:DescribeKey"], "Resource": "*" },
    ] });
    let key = stage
        .call(
            &administrator,
            "kms",
            "CreateKey",
            object([("Policy", text(key_policy.to_string())), ("Description", text("training data"))]),
        )
        .await?;
    stage.key_arn = text_at(&key, "KeyMetadata.Arn");
    stage.call(&administrator, "s3", "CreateBucket", object([("Bucket", text(&stage.bucket))])).await?;
    let rule = object([(
        "ApplyServerSideEncryptionByDefault",
        object([("SSEAlgorithm", text("aws:kms")), ("KMSMasterKeyID", text(&stage.key_arn))]),
    )]);
    let encryption = object([("Bucket", text(&stage.bucket)), ("ServerSideEncryptionConfiguration", object([("Rules", list([rule]))]))]);
    stage.call(&administrator, "s3", "PutBucketEncryption", encryption).await?;
    let put = object([("Bucket", text(&stage.bucket)), ("Key", text(OBJECT_KEY))]);
    let stored = stage.call_with_body(&administrator, "s3", "PutObject", put, Bytes::from_static(FILE.as_bytes())).await?;
    let with_key = text_at(&stored, "ServerSideEncryption") == "aws:kms" && text_at(&stored, "SSEKMSKeyId") == stage.key_arn;
    stage.prove("the bucket encrypts by default with the customer's key", with_key, format!("SSE-KMS {}", stage.key_arn))?;

    let read = get_object(stage, &stage.app.clone()).await?;
    stage.prove("the application reads the file through its role", read == FILE.as_bytes(), format!("{} bytes", read.len()))?;
    let (data_dir, needle) = (stage.data_dir.clone(), FILE.trim_end().as_bytes().to_vec());
    let secrets: Vec<Vec<u8>> =
        [&stage.root, &stage.administrator, &stage.scientist].iter().map(|who| who.secret_access_key.as_bytes().to_vec()).collect();
    let searched = tokio::task::spawn_blocking(move || {
        let mut searched = Searched::default();
        search(&data_dir, &needle, &secrets, &mut searched).map(|()| searched)
    })
    .await
    .map_err(|error| Failure::general(error.to_string()))??;
    let clean = searched.found.is_empty() && searched.bytes > 0;
    let evidence = if clean {
        format!("{} files, {} bytes searched", searched.files, searched.bytes)
    } else {
        format!("found in {}", searched.found.join(", "))
    };
    stage.prove("the bytes on disk hold neither the file's text nor any secret key", clean, evidence)?;

    let scientist = stage.scientist.clone();
    let refused = get_object_value(stage, &scientist).await;
    stage.prove_refused(
        "the data scientist may read the bucket, but the key's policy does not admit them",
        refused,
        "AccessDenied",
        403,
        &["kms:Decrypt", "resource-based policy"],
    )
}

async fn get_object_value(stage: &mut Stage, who: &Credentials) -> Result<wire::Value, ClientError> {
    let input = object([("Bucket", text(&stage.bucket)), ("Key", text(OBJECT_KEY))]);
    stage.call(who, "s3", "GetObject", input).await
}

/// The content of the file.
pub async fn get_object(stage: &mut Stage, who: &Credentials) -> Result<Vec<u8>, ClientError> {
    let answer = get_object_value(stage, who).await?;
    match answer.member("Body") {
        Some(wire::Value::Bytes(bytes)) => Ok(bytes.to_vec()),
        _ => Ok(Vec::new()),
    }
}

#[derive(Default)]
struct Searched {
    files: usize,
    bytes: usize,
    found: Vec<String>,
}

fn search(folder: &Path, needle: &[u8], secrets: &[Vec<u8>], searched: &mut Searched) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, needle, secrets, searched)?;
            continue;
        }
        let bytes = std::fs::read(&path)?;
        searched.files += 1;
        searched.bytes += bytes.len();
        let has = |needle: &[u8]| memchr::memmem::find(&bytes, needle).is_some();
        if has(needle) || secrets.iter().any(|secret| has(secret)) {
            searched.found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Step 3: authorization covers services without handlers.
pub async fn least_privilege(stage: &mut Stage) -> Result<(), Failure> {
    let scientist = stage.scientist.clone();
    let notebook =
        object([("NotebookInstanceName", text("exploration")), ("InstanceType", text("ml.t3.medium")), ("RoleArn", text(role_arn(stage)))]);
    let honest = stage.call(&scientist, "sagemaker", "CreateNotebookInstance", notebook).await;
    stage.prove_refused(
        "creating a notebook is authorized, and answered honestly",
        honest,
        "NotImplemented",
        501,
        &["CreateNotebookInstance"],
    )?;
    let delete = object([("EndpointName", text("production-chat"))]);
    let denied = stage.call(&scientist, "sagemaker", "DeleteEndpoint", delete).await;
    stage.prove_refused(
        "deleting a production endpoint is denied, and the denial names the policy type",
        denied,
        "AccessDeniedException",
        400,
        &["user/data-scientist", "sagemaker:DeleteEndpoint", "endpoint/production-chat", "explicit deny in an identity-based policy"],
    )?;
    let explanation = explain(stage, &stage.last_denial.clone()).await?;
    let sid = explanation.pointer("/deciding/sid").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    stage.prove(
        "the explanation names the statement",
        sid == "ProtectProduction",
        format!("sid {sid}, {}", explanation.get("deciding").cloned().unwrap_or_default()),
    )
}

/// The decision behind a request, through the API that `bailiwick explain` uses.
pub async fn explain(stage: &mut Stage, request_id: &str) -> Result<serde_json::Value, ClientError> {
    let administrator = stage.administrator.clone();
    let answer = stage.call(&administrator, "bailiwick", "ExplainRequest", object([("RequestId", text(request_id))])).await?;
    match answer.member("Decision") {
        Some(wire::Value::Document(decision)) => Ok(decision.clone()),
        _ => Ok(serde_json::Value::Null),
    }
}
