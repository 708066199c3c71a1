//! Finds the operation of a REST request: the most specific URI template that fits method, path, query literals and what the
//! operation cannot do without.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use facts::{Location, Operation, Service};

use crate::RequestParts;
use crate::form;

/// The URI labels of a request, still percent-encoded: they are decoded exactly once, by [`Labels::get`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    raw: Vec<(&'static str, String)>,
}

impl Labels {
    /// A label, decoded; `None` when there is none or when it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        form::percent_decode(self.raw(name)?)
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.raw.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// Older twins that share method and URI with a newer operation, and an operation of another kind of bucket: they only answer
/// to `x-id`. Source: the deprecation notes of the Amazon S3 API reference.
const S3_SHADOWED: [&str; 5] =
    ["PutBucketLifecycle", "GetBucketLifecycle", "GetBucketNotification", "PutBucketNotification", "ListDirectoryBuckets"];

/// The operation of a REST service that a request asks for, with its URI labels.
pub fn route_rest(service: &'static Service, parts: &RequestParts<'_>) -> Option<(&'static Operation, Labels)> {
    let index = index(service);
    let routes = index.methods.get(parts.method)?;
    let path = Path::new(parts);
    let query = Query::new(parts.query);
    let mut best: Option<(Fit, &Route)> = None;
    for route in routes {
        let Some(fit) = route.fit(&path, &query, parts) else {
            continue;
        };
        if best.as_ref().is_none_or(|(so_far, _)| fit > *so_far) {
            best = Some((fit, route));
        }
    }
    let (_, route) = best?;
    // Nothing is written or deleted in place of a sub-resource that the method does not have.
    let is_reading = matches!(parts.method, "GET" | "HEAD");
    if !is_reading && query.pairs.iter().any(|(name, _)| index.sub_resources.contains(name) && !route.takes(name)) {
        return None;
    }
    Some((route.operation, route.labels(&path)))
}

/// The path, with the virtual host's bucket in front.
struct Path<'a> {
    host_label: Option<&'a str>,
    /// Without the leading slash.
    path: &'a str,
}

impl<'a> Path<'a> {
    fn new(parts: &RequestParts<'a>) -> Self {
        Self { host_label: parts.host_label, path: parts.path.strip_prefix('/').unwrap_or(parts.path) }
    }
}

/// The first segment, and the rest behind its slash (`None`: there was no slash).
fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    }
}

/// The names and values of the query string that routing looks at, raw.
struct Query<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Query<'a> {
    fn new(text: &'a str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(crate::limits::FORM_PARAMETERS);
        Self { pairs: pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect() }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

/// How well a route fits; the greatest wins.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    literals: usize,
    labels: usize,
    /// Literals of the query, but for `x-id`.
    query_literals: usize,
    /// What the operation requires in the query and is there: an upload's part without its id is not an object.
    in_query: usize,
    /// Everything that the operation requires in query and headers is there.
    complete: bool,
    /// `x-id` names the operation.
    named: bool,
    required: usize,
    preferred: bool,
}

struct Index {
    methods: HashMap<&'static str, Vec<Route>>,
    /// Names that the query of a request to S3 has for parts of a bucket or an object (`acl`). Other names are no business of routing.
    sub_resources: HashSet<&'static str>,
}

struct Route {
    operation: &'static Operation,
    segments: Vec<Segment>,
    query_literals: Vec<(&'static str, &'static str)>,
    required_query: Vec<&'static str>,
    required_headers: Vec<&'static str>,
    preferred: bool,
}

enum Segment {
    Literal(&'static str),
    Label(&'static str),
    /// Takes all the rest but for as many segments as follow.
    Greedy(&'static str),
}

impl Route {
    fn new(service: &'static Service, operation: &'static Operation) -> Self {
        let (path, query) = operation.http_uri.split_once('?').unwrap_or((operation.http_uri, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
            match segment.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
                Some(label) => match label.strip_suffix('+') {
                    Some(label) => Segment::Greedy(label),
                    None => Segment::Label(label),
                },
                None => Segment::Literal(segment),
            }
        });
        let query_literals = query.split('&').filter(|pair| !pair.is_empty());
        let members = operation.input.map(|input| service.members(input)).unwrap_or_default();
        let required = |location: Location| {
            members.iter().filter(move |member| member.required && member.location == location).map(facts::Member::wire_name).collect()
        };
        Self {
            operation,
            segments: segments.collect(),
            query_literals: query_literals.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect(),
            required_query: required(Location::QueryString),
            required_headers: required(Location::Header),
            preferred: !S3_SHADOWED.contains(&operation.name),
        }
    }

    fn fit(&self, path: &Path<'_>, query: &Query<'_>, parts: &RequestParts<'_>) -> Option<Fit> {
        // The query first: of S3's many operations on a bucket or a key it leaves one or two, and it is looked through sooner than the path.
        let mut query_literals = 0;
        for (name, value) in &self.query_literals {
            match query.get(name) {
                Some(found) if value.is_empty() || found == *value => query_literals += usize::from(*name != "x-id"),
                // `x-id` only tells operations apart that share a URI; many clients leave it out.
                None if *name == "x-id" => {}
                _ => return None,
            }
        }
        self.walk(path)?;
        let named = query.get("x-id").is_some_and(|name| name == self.operation.name);
        let in_query = self.required_query.iter().filter(|name| query.get(name).is_some()).count();
        let in_headers = self.required_headers.iter().filter(|name| parts.headers.contains_key(**name)).count();
        Some(Fit {
            literals: self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count(),
            labels: self.segments.iter().filter(|segment| matches!(segment, Segment::Label(_))).count(),
            query_literals,
            in_query,
            complete: in_query == self.required_query.len() && in_headers == self.required_headers.len(),
            named,
            required: in_query + in_headers,
            preferred: self.preferred,
        })
    }

    /// Whether the operation reads that name of the query.
    fn takes(&self, name: &str) -> bool {
        self.query_literals.iter().any(|(literal, _)| *literal == name) || self.required_query.contains(&name)
    }

    /// Matches the path and gives the labels, raw.
    fn walk<'a>(&self, path: &Path<'a>) -> Option<Vec<(&'static str, &'a str)>> {
        let mut labels = Vec::new();
        let mut segments = self.segments.as_slice();
        if let Some(host_label) = path.host_label {
            let (first, others) = segments.split_first()?;
            match first {
                Segment::Label(name) => labels.push((*name, host_label)),
                _ => return None,
            }
            segments = others;
        }
        // What is left of the path; `None` once a segment without a slash behind it was taken.
        let mut left = Some(path.path);
        while let Some((wanted, others)) = segments.split_first() {
            segments = others;
            let here = left?;
            let (segment, rest) = split(here);
            match wanted {
                Segment::Literal(literal) if segment == *literal => left = rest,
                Segment::Label(name) if !segment.is_empty() => {
                    labels.push((*name, segment));
                    left = rest;
                }
                Segment::Greedy(name) => {
                    let (value, tail) = greedy(here, others.len())?;
                    labels.push((*name, value));
                    left = tail;
                }
                _ => return None,
            }
        }
        // One slash at the end is allowed (`/bucket/`).
        left.is_none_or(str::is_empty).then_some(labels)
    }

    fn labels(&self, path: &Path<'_>) -> Labels {
        let found = self.walk(path).unwrap_or_default();
        Labels { raw: found.into_iter().map(|(name, value)| (name, value.to_owned())).collect() }
    }
}

/// The value of a greedy label, and the tail that `following` more segments match.
fn greedy(path: &str, following: usize) -> Option<(&str, Option<&str>)> {
    let (value, tail) = match following.checked_sub(1) {
        None => (path, None),
        Some(slashes) => {
            let (at, _) = path.rmatch_indices('/').nth(slashes)?;
            let (value, tail) = path.split_at_checked(at)?;
            (value, tail.strip_prefix('/'))
        }
    };
    (!value.is_empty()).then_some((value, tail))
}

fn index(service: &'static Service) -> Arc<Index> {
    static INDEXES: OnceLock<RwLock<HashMap<usize, Arc<Index>>>> = OnceLock::new();
    let indexes = INDEXES.get_or_init(RwLock::default);
    // Services live as long as the process, so their address names them.
    let key = std::ptr::from_ref(service).addr();
    if let Some(index) = indexes.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(index);
    }
    let mut methods: HashMap<&'static str, Vec<Route>> = HashMap::new();
    for operation in &service.operations {
        methods.entry(operation.http_method).or_default().push(Route::new(service, operation));
    }
    let mut sub_resources = HashSet::new();
    if matches!(service.dialect, facts::Dialect::S3) {
        let literals = methods.values().flatten().flat_map(|route| route.query_literals.iter().map(|(name, _)| *name));
        // A part is one of an upload: the two names go together.
        sub_resources.extend(literals.filter(|name| *name != "x-id").chain(["partNumber", "uploadId"]));
    }
    let index = Arc::new(Index { methods, sub_resources });
    indexes.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&index));
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(template: &'static str, host_label: Option<&str>, path: &str) -> Option<Vec<(String, String)>> {
        let segments = template.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(|segment| match segment.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
            Some(label) if label.ends_with('+') => Segment::Greedy(label.trim_end_matches('+')),
            Some(label) => Segment::Label(label),
            None => Segment::Literal(segment),
        });
        let segments: Vec<_> = segments.collect();
        let operation: &'static Operation = Box::leak(Box::new(crate::fixture::operation("X", template)));
        let route = Route { segments, ..Route::new(crate::fixture::service(facts::Dialect::S3, Vec::new(), Vec::new()), operation) };
        let path = Path { host_label, path: path.strip_prefix('/').unwrap() };
        let found = route.walk(&path)?;
        Some(found.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn labels(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn keys_keep_their_text() {
        let object = "/{Bucket}/{Key+}";
        assert_eq!(walk(object, None, "/b/a//c/../d/"), labels(&[("Bucket", "b"), ("Key", "a//c/../d/")]));
        assert_eq!(walk(object, None, "/b//x"), labels(&[("Bucket", "b"), ("Key", "/x")]));
        assert_eq!(walk(object, Some("b"), "/a/b"), labels(&[("Bucket", "b"), ("Key", "a/b")]));
        assert_eq!(walk(object, Some("b"), "/"), None);
        assert_eq!(walk(object, None, "/b/"), None);
        assert_eq!(walk("/{Bucket}", None, "/b/"), labels(&[("Bucket", "b")]));
        assert_eq!(walk("/{Bucket}", Some("b"), "/"), labels(&[("Bucket", "b")]));
        assert_eq!(walk("/{Bucket}", None, "/"), None);
        assert_eq!(walk("/", None, "/"), labels(&[]));
        assert_eq!(walk("/tags/{Arn+}/x", None, "/tags/a/b/x"), labels(&[("Arn", "a/b")]));
        assert_eq!(walk("/model/{id}/invoke", None, "/model/a%2Fb/invoke"), labels(&[("id", "a%2Fb")]));
    }
}
