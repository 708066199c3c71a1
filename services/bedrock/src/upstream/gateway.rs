//! From a model's name to a server that answers: weights, health, further tries, fallback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plane::ApiError;

use super::Model;
use super::chat::{ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse};
use super::chunks::Chunks;
use super::fault::{Failure, unavailable};
use super::local::{Local, LocalModel};
use super::responder;
use super::server::{Secrets, Server};
use super::settings::{DeclaredModel, ModelSettings, ProfileSettings};
use crate::refusal::Refusal;

/// How long the upstreams' lists of models are believed.
const MODELS_LIFETIME: Duration = Duration::from_secs(30);
/// Tries of one call altogether.
const TRIES: usize = 16;
/// Wait before a further try on the same server, doubled each time.
const BACKOFF: Duration = Duration::from_millis(25);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Where a model is served.
#[derive(Clone)]
pub(crate) enum At {
    Server(Arc<Server>),
    Local(Local),
    /// The embedded responder, which is no model.
    Responder,
}

/// One place of a model, under that place's name of it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) at: At,
    pub(crate) model: String,
    pub(crate) weight: u32,
}

impl Place {
    pub(crate) fn name(&self) -> String {
        match &self.at {
            At::Server(server) => server.settings.name.clone(),
            At::Local(local) => local.0.id(),
            At::Responder => responder::MODEL.to_owned(),
        }
    }

    fn is_well(&self) -> bool {
        match &self.at {
            At::Server(server) => server.is_well(),
            At::Local(_) | At::Responder => true,
        }
    }

    fn attempts(&self) -> u32 {
        match &self.at {
            At::Server(server) => server.settings.attempts,
            At::Local(_) | At::Responder => 1,
        }
    }
}

/// Where a call may go: all places of the first tier before those of the next.
#[derive(Clone)]
pub(crate) struct Route {
    /// The model that was asked for.
    pub(crate) model: String,
    tiers: Vec<Vec<Place>>,
}

/// The upstreams, ready to be called.
pub(crate) struct Gateway {
    pub(crate) settings: ModelSettings,
    servers: Vec<Arc<Server>>,
    local: Vec<Local>,
    listing: Mutex<Option<(Instant, Arc<Vec<Listed>>)>>,
    turn: AtomicUsize,
}

/// A model as callers see it, and where it is.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) model: Model,
    pub(crate) images: bool,
    places: Vec<Place>,
}

/// What a request is for; each place answers in its own way.
enum Ask<'a> {
    Chat(&'a ChatRequest),
    Embed(&'a EmbeddingRequest),
}

enum Answered {
    Whole(ChatResponse),
    Stream(Chunks),
    Embedded(EmbeddingResponse),
}

impl Gateway {
    /// `local` models are offered beside what is declared; without any upstream the embedded responder is there, too.
    pub(crate) fn new(settings: ModelSettings, local: Vec<Arc<dyn LocalModel>>) -> Self {
        let servers = settings.upstreams.iter().map(|upstream| Arc::new(Server::new(upstream.clone(), &settings.allow_internal))).collect();
        Self { settings, servers, local: local.into_iter().map(Local).collect(), listing: Mutex::new(None), turn: AtomicUsize::new(0) }
    }

    pub(crate) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    pub(crate) fn declared(&self, id: &str) -> Option<&DeclaredModel> {
        self.settings.models.iter().find(|model| model.id == id)
    }

    pub(crate) fn profile(&self, id: &str) -> Option<&ProfileSettings> {
        self.settings.inference_profiles.iter().find(|profile| profile.id == id)
    }

    fn places(&self, model: &DeclaredModel) -> Vec<Place> {
        let place = |target: &super::settings::TargetSettings| {
            let server = self.servers.iter().find(|server| server.settings.name == target.upstream)?;
            Some(Place { at: At::Server(Arc::clone(server)), model: target.model.clone(), weight: target.weight })
        };
        model.targets.iter().filter_map(place).collect()
    }

    /// All models: declared ones, local ones, and what the upstreams list. Models of an upstream that some declaration uses are offered
    /// only as declared: otherwise a name of the upstream's would go around what the declaration says.
    pub(crate) async fn models(&self, secrets: &dyn Secrets) -> Result<Arc<Vec<Listed>>, ApiError> {
        if let Some((at, models)) = self.listing.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && at.elapsed() < MODELS_LIFETIME
        {
            return Ok(Arc::clone(models));
        }
        let mut listed = Vec::new();
        for model in &self.settings.models {
            let provider = model.provider.clone().or_else(|| model.targets.first().map(|target| target.upstream.clone()));
            let shown = Model { id: model.id.clone(), provider: provider.unwrap_or_default() };
            listed.push(Listed { model: shown, images: model.images, places: self.places(model) });
        }
        for local in &self.local {
            let model = Model { id: local.0.id(), provider: local.0.provider() };
            let place = Place { at: At::Local(local.clone()), model: model.id.clone(), weight: 1 };
            listed.push(Listed { model, images: false, places: vec![place] });
        }
        if self.servers.is_empty() {
            let model = Model { id: responder::MODEL.to_owned(), provider: responder::PROVIDER.to_owned() };
            let place = Place { at: At::Responder, model: model.id.clone(), weight: 1 };
            listed.push(Listed { model, images: false, places: vec![place] });
        }
        let is_declared = |server: &Server| {
            self.settings.models.iter().flat_map(|model| &model.targets).any(|target| target.upstream == server.settings.name)
        };
        let mut complete = true;
        let mut failure = None;
        // Asked without the lock: callers must not wait for each other when an upstream does not answer.
        for server in self.servers.iter().filter(|server| !is_declared(server)) {
            match server.models(secrets).await {
                Ok(models) => {
                    for model in models {
                        let place = Place { at: At::Server(Arc::clone(server)), model: model.id.clone(), weight: 1 };
                        match listed.iter_mut().find(|known| known.model.id == model.id) {
                            Some(known) => known.places.push(place),
                            None => listed.push(Listed { model, images: true, places: vec![place] }),
                        }
                    }
                }
                Err(error) => {
                    complete = false;
                    failure = Some(error.error);
                }
            }
        }
        if let Some(error) = failure.filter(|_| listed.is_empty()) {
            return Err(error);
        }
        let listed = Arc::new(listed);
        if complete {
            *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&listed)));
        }
        Ok(listed)
    }

    /// Where calls for a model go. `None`: nobody has it.
    pub(crate) async fn route(&self, secrets: &dyn Secrets, id: &str) -> Result<Option<Route>, ApiError> {
        if let Some(model) = self.declared(id) {
            let others = model.fallback.iter().filter_map(|other| self.declared(other));
            let tiers = std::iter::once(model).chain(others).map(|model| self.places(model)).collect();
            return Ok(Some(Route { model: id.to_owned(), tiers }));
        }
        let listed = self.models(secrets).await?;
        Ok(listed
            .iter()
            .find(|listed| listed.model.id == id)
            .map(|listed| Route { model: id.to_owned(), tiers: vec![listed.places.clone()] }))
    }

    /// Where calls for an adapter go that was loaded into an upstream.
    pub(crate) fn adapter_route(&self, upstream: &str, adapter: &str, model_id: &str) -> Option<Route> {
        let server = self.servers.iter().find(|server| server.settings.name == upstream)?;
        let place = Place { at: At::Server(Arc::clone(server)), model: adapter.to_owned(), weight: 1 };
        Some(Route { model: model_id.to_owned(), tiers: vec![vec![place]] })
    }

    /// The first upstream that loads adapters for a base model of its own.
    pub(crate) fn adapter_server(&self, base_model: &str) -> Option<Arc<Server>> {
        let serves = |server: &Server| {
            server.settings.models.iter().any(|model| model == base_model)
                || self
                    .settings
                    .models
                    .iter()
                    .flat_map(|model| &model.targets)
                    .any(|target| target.upstream == server.settings.name && target.model == base_model)
        };
        self.servers.iter().find(|server| server.settings.loads_adapters.is_some() && serves(server)).cloned()
    }

    /// A route over several models: one is chosen by weight, the others stand behind it.
    pub(crate) async fn spread(&self, secrets: &dyn Secrets, models: &[(String, u32)]) -> Result<Option<Route>, ApiError> {
        let weights: Vec<u32> = models.iter().map(|(_, weight)| *weight).collect();
        let mut route: Option<Route> = None;
        for at in order(&weights, self.turn.fetch_add(1, Ordering::Relaxed)) {
            let Some((model, _)) = models.get(at) else { continue };
            let Some(found) = self.route(secrets, model).await? else { continue };
            match &mut route {
                Some(route) => route.tiers.extend(found.tiers),
                None => route = Some(found),
            }
        }
        Ok(route)
    }

    /// The places of a route in the order in which they are tried.
    fn ordered(&self, route: &Route) -> Vec<Place> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (mut well, mut sick) = (Vec::new(), Vec::new());
        for tier in &route.tiers {
            let weights: Vec<u32> = tier.iter().map(|place| place.weight).collect();
            for place in order(&weights, turn).into_iter().filter_map(|at| tier.get(at)) {
                if place.is_well() { &mut well } else { &mut sick }.push(place.clone());
            }
        }
        // Those that failed last come last; when nobody is well they are still better than nothing.
        well.append(&mut sick);
        well
    }

    async fn ask(&self, secrets: &dyn Secrets, route: &Route, ask: Ask<'_>, streams: bool) -> Result<(Answered, String), ApiError> {
        let mut last: Option<ApiError> = None;
        let mut tries = 0;
        for place in self.ordered(route) {
            let mut wait = BACKOFF;
            for attempt in 0..place.attempts() {
                if tries >= TRIES {
                    break;
                }
                if attempt > 0 {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
                tries += 1;
                let tried = try_place(secrets, &place, &ask, streams).await;
                if let At::Server(server) = &place.at {
                    server.learn(&tried);
                }
                match tried {
                    Ok(answered) => return Ok((answered, place.name())),
                    Err(failure) if !failure.may_go_elsewhere => return Err(failure.error),
                    Err(failure) => {
                        let timed_out = failure.error.code == "ModelTimeoutException";
                        last = Some(failure.error);
                        // Whoever was waited for so long is not asked again.
                        if timed_out {
                            break;
                        }
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| unavailable("no upstream serves the model")))
    }

    /// A whole answer, and who gave it.
    pub(crate) async fn chat(
        &self,
        secrets: &dyn Secrets,
        route: &Route,
        request: &ChatRequest,
    ) -> Result<(ChatResponse, String), ApiError> {
        match self.ask(secrets, route, Ask::Chat(request), false).await? {
            (Answered::Whole(answer), by) => Ok((answer, by)),
            _ => Err(ApiError::internal(&"a model server gave an answer of another kind")),
        }
    }

    /// A streamed answer, and who gives it. Once it has begun it is not tried elsewhere.
    pub(crate) async fn stream(&self, secrets: &dyn Secrets, route: &Route, request: &ChatRequest) -> Result<(Chunks, String), ApiError> {
        match self.ask(secrets, route, Ask::Chat(request), true).await? {
            (Answered::Stream(chunks), by) => Ok((chunks, by)),
            _ => Err(ApiError::internal(&"a model server gave an answer of another kind")),
        }
    }

    /// Vectors, and who made them.
    pub(crate) async fn embed(
        &self,
        secrets: &dyn Secrets,
        route: &Route,
        request: &EmbeddingRequest,
    ) -> Result<(EmbeddingResponse, String), ApiError> {
        match self.ask(secrets, route, Ask::Embed(request), false).await? {
            (Answered::Embedded(answer), by) => Ok((answer, by)),
            _ => Err(ApiError::internal(&"a model server gave an answer of another kind")),
        }
    }

    /// The number of tokens by the tokenizer of the first place that has one.
    pub(crate) async fn count_tokens(&self, secrets: &dyn Secrets, route: &Route, request: &ChatRequest) -> Result<i64, ApiError> {
        for place in self.ordered(route) {
            let request = ChatRequest { model: place.model.clone(), ..request.clone() };
            let counted = match &place.at {
                At::Server(server) => server.count_tokens(secrets, &request).await,
                At::Local(local) => local.count_tokens(&request).await.map(Some),
                At::Responder => Ok(Some(responder::count(&request))),
            };
            match counted {
                Ok(Some(count)) => return Ok(count),
                Ok(None) => {}
                Err(failure) if failure.may_go_elsewhere => {}
                Err(failure) => return Err(failure.error),
            }
        }
        // An estimate would be taken for the truth.
        Err(Refusal::invalid("The provided model doesn't support counting tokens.").into())
    }
}

async fn try_place(secrets: &dyn Secrets, place: &Place, ask: &Ask<'_>, streams: bool) -> Result<Answered, Failure> {
    match ask {
        Ask::Chat(request) => {
            let request = ChatRequest { model: place.model.clone(), ..(*request).clone() };
            match (&place.at, streams) {
                (At::Server(server), false) => server.chat(secrets, &request).await.map(Answered::Whole),
                (At::Server(server), true) => server.stream(secrets, &request).await.map(Answered::Stream),
                (At::Local(local), false) => local.chat(&request).await.map(Answered::Whole),
                (At::Local(local), true) => local.stream(&request).await.map(Answered::Stream),
                (At::Responder, false) => responder::chat(&request).map(Answered::Whole),
                (At::Responder, true) => responder::stream(&request).map(Answered::Stream),
            }
        }
        Ask::Embed(request) => {
            let request = EmbeddingRequest { model: place.model.clone(), ..(*request).clone() };
            match &place.at {
                At::Server(server) => server.embed(secrets, &request).await.map(Answered::Embedded),
                At::Local(_) => Err(Failure::of_request(Refusal::invalid("This model gives no embeddings.").into())),
                At::Responder => Ok(Answered::Embedded(responder::embed(&request))),
            }
        }
    }
}

/// Positions in the order of their turn: one by its share of the weights, then the others of a weight above zero.
fn order(weights: &[u32], turn: usize) -> Vec<usize> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return Vec::new();
    }
    // Turns jump through the weights so that a heavy one does not get all its turns in a row.
    let mut left = u64::try_from(turn).unwrap_or_default().wrapping_mul(stride(total)) % total;
    let first = weights
        .iter()
        .position(|weight| {
            let weight = u64::from(*weight);
            if left < weight {
                return true;
            }
            left -= weight;
            false
        })
        .unwrap_or_default();
    let others = (0..weights.len()).cycle().skip(first + 1).take(weights.len().saturating_sub(1));
    std::iter::once(first).chain(others).filter(|at| weights.get(*at).is_some_and(|weight| *weight > 0)).collect()
}

/// A step near the golden section of `total` that visits every number below it.
fn stride(total: u64) -> u64 {
    let divides = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let start = (total * 5 / 8).max(1);
    (start..=total).find(|step| divides(*step, total) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::NoSecrets;
    use crate::upstream::chat::{ChatMessage, Content};
    use crate::upstream::settings::{TargetSettings, UpstreamSettings};

    fn request(text: &str) -> ChatRequest {
        let message = ChatMessage { role: "user".to_owned(), content: Some(Content::Text(text.to_owned())), ..ChatMessage::default() };
        ChatRequest { model: responder::MODEL.to_owned(), messages: vec![message], ..ChatRequest::default() }
    }

    #[test]
    fn turns_follow_the_weights() {
        let mut counts = [0; 3];
        for turn in 0..40 {
            counts[order(&[1, 3, 0], turn)[0]] += 1;
        }
        assert_eq!(counts, [10, 30, 0]);
        assert_eq!(order(&[0, 0], 1), Vec::<usize>::new());
        let mut all = order(&[2, 2, 2], 5);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }

    #[tokio::test]
    async fn the_embedded_responder_lists_and_answers() {
        let gateway = Gateway::new(ModelSettings::default(), Vec::new());
        let models = gateway.models(&NoSecrets).await.unwrap();
        let [listed] = models.as_slice() else { panic!("one model is expected") };
        assert!(listed.model.id == responder::MODEL && listed.model.provider.contains("deterministic"));
        let route = gateway.route(&NoSecrets, responder::MODEL).await.unwrap().unwrap();
        let request = request("Who is the billing contact?");
        let (answer, by) = gateway.chat(&NoSecrets, &route, &request).await.unwrap();
        let text = answer.choices.first().unwrap().message.content.clone().unwrap();
        assert!(text.contains("jane.doe@example.com") && text.contains("4111 1111 1111 1111"), "{text}");
        assert_eq!(by, responder::MODEL);
        let (mut chunks, _) = gateway.stream(&NoSecrets, &route, &request).await.unwrap();
        let mut joined = String::new();
        while let Some(chunk) = chunks.next().await.unwrap() {
            joined.extend(chunk.choices.into_iter().filter_map(|choice| choice.delta.content));
        }
        assert_eq!(joined, text);
        assert!(gateway.route(&NoSecrets, "nothing").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable_and_marked() {
        let upstream = UpstreamSettings { attempts: 3, ..UpstreamSettings::at("http://127.0.0.1:1/v1") };
        let declared = DeclaredModel {
            id: "m".to_owned(),
            targets: vec![TargetSettings { upstream: upstream.name.clone(), model: "x".to_owned(), weight: 1 }],
            ..DeclaredModel::default()
        };
        let gateway =
            Gateway::new(ModelSettings { upstreams: vec![upstream], models: vec![declared], ..ModelSettings::default() }, Vec::new());
        let route = gateway.route(&NoSecrets, "m").await.unwrap().unwrap();
        let error = gateway.chat(&NoSecrets, &route, &request("x")).await.unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), ("ServiceUnavailableException", Some(503)));
        assert!(!gateway.servers()[0].is_well());
    }
}
