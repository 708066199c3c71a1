//! What trust anchors, profiles, revocation lists and subjects have in common: an id, an ARN, an account and region, tags.

use plane::{ApiError, Call, Key, Record, Transaction};

use crate::error::RolesAnywhereError;

/// A record of one of the four kinds.
pub(crate) trait Resource: Record {
    /// As it stands in ARNs.
    const KIND: &'static str;
    fn id(&self) -> &str;
    fn tags(&self) -> &[(String, String)];
    fn tags_mut(&mut self) -> &mut Vec<(String, String)>;

    fn arn(&self, account: &str, region: &str) -> String {
        arn::<Self>(account, region, self.id())
    }
}

pub(crate) fn arn<R: Resource>(account: &str, region: &str, id: &str) -> String {
    format!("arn:{}:rolesanywhere:{region}:{account}:{}/{id}", plane::PARTITION, R::KIND)
}

fn key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).last(id)
}

/// The id in an identifier that is an id or an ARN of the kind.
pub(crate) fn id_of<R: Resource>(identifier: &str) -> &str {
    match identifier.rsplit_once(':') {
        Some((_, resource)) => resource.strip_prefix(R::KIND).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default(),
        None => identifier,
    }
}

pub(crate) async fn find<R: Resource>(tx: &mut Transaction, account: &str, region: &str, id: &str) -> Result<Option<R>, ApiError> {
    tx.get(&key(account, region, id)).await
}

/// The resource that a call names in its account and region.
pub(crate) async fn load<R: Resource>(cx: &mut Call, identifier: &str) -> Result<R, ApiError> {
    let id = id_of::<R>(identifier).to_owned();
    let found = find::<R>(&mut cx.tx, &cx.account, &cx.region, &id).await?;
    found.ok_or_else(|| RolesAnywhereError::ResourceNotFound(format!("{} {identifier} not found", title(R::KIND))).into())
}

fn title(kind: &str) -> &str {
    match kind {
        "trust-anchor" => "Trust anchor",
        "profile" => "Profile",
        "crl" => "Crl",
        _ => "Subject",
    }
}

pub(crate) fn save<R: Resource>(cx: &mut Call, record: &R) -> Result<(), ApiError> {
    cx.tx.put(&key(&cx.account, &cx.region, record.id()), record)
}

pub(crate) fn remove<R: Resource>(cx: &mut Call, record: &R) {
    cx.tx.delete::<R>(&key(&cx.account, &cx.region, record.id()));
}

/// All of a kind in an account and region, in order of their ids.
pub(crate) async fn all<R: Resource>(tx: &mut Transaction, account: &str, region: &str) -> Result<Vec<R>, ApiError> {
    let rows = tx.scan::<R>(&Key::new(account, region), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

/// One page of a list.
pub(crate) fn cut<R: Resource>(
    cx: &Call,
    records: Vec<R>,
    next_token: Option<&str>,
    page_size: Option<i32>,
) -> Result<(Vec<R>, Option<String>), ApiError> {
    const DEFAULT_ITEMS: usize = 50;
    let limit = page_size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).unwrap_or(DEFAULT_ITEMS);
    let page = cx.page(records, |record| record.id().to_owned(), R::KIND, next_token, limit).map_err(|error| match error {
        plane::page::PageError::Token(_) => RolesAnywhereError::Validation("Invalid next token".to_owned()).into(),
        plane::page::PageError::Failed(error) => error,
    })?;
    Ok((page.items, page.next))
}

macro_rules! resource {
    ($record:ty, $kind:literal, $table:literal) => {
        impl plane::Record for $record {
            const TABLE: store::Table = store::Table($table);
            const SCOPE: plane::Scope = plane::Scope::Region;
        }

        impl $crate::resource::Resource for $record {
            const KIND: &'static str = $kind;

            fn id(&self) -> &str {
                &self.id
            }

            fn tags(&self) -> &[(String, String)] {
                &self.tags
            }

            fn tags_mut(&mut self) -> &mut Vec<(String, String)> {
                &mut self.tags
            }
        }
    };
}
pub(crate) use resource;
