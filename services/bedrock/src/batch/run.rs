//! Works on batch inference jobs: validates, asks record by record, writes.

use std::sync::Arc;
use std::time::Duration;

use api_bedrock_runtime::{ConverseInput, InvokeModelInput};
use bytes::Bytes;
use facts::{Protocol, catalog};
use http::HeaderMap;
use plane::transaction::{Abort, SCAN_LIMIT};
use plane::{ApiError, Key, Plane, Transaction};
use serde_json::{Map, Value as Json};
use wire::{FromValue as _, IntoValue as _, RequestParts, Struct, Value, decode_input, encode_output, route_rest};

use super::input::{self, Line};
use super::job::{BatchJob, Counts, DueJob, InputFile, Stage};
use super::output::{self, Outcome, Segment};
use crate::RUNTIME;
use crate::refusal::Refusal;
use crate::runtime::State;
use crate::s3_data::Role;

/// Who holds a job is believed to work on it for this long after the last renewal: so long a crash holds it up.
const HOLD_MS: i64 = 6_000;
/// How often whoever works looks whether the job is to stop, and renews.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a task waits for the commit of its call: looks, and the time between two.
const LOOKS: u32 = 500;
const COMMIT_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Records that are asked at once, and kept in one commit.
const CHUNK: usize = 8;
/// Runs of a write.
const ATTEMPTS: u32 = 16;
/// Tries of a record that meets a limit, and the wait after the first; each further wait is twice as long, up to the last. All together they are longer
/// than the minute that rates are measured by.
const TRIES: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(16);
/// For records that have no id. Source: the examples of the User Guide.
const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ID_LENGTH: usize = 11;
const MESSAGE_LENGTH_MAX: usize = 2_000;

/// Why work on a job ends before its last record.
enum Halt {
    /// Somebody else works on it.
    Lost,
    Stopped,
    Expired,
    /// With what the customer learns.
    Failed(String),
    /// Our own failure: it is tried again when the hold has run out.
    Broken(ApiError),
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        if error.internal { Self::Broken(error) } else { Self::Failed(error.message) }
    }
}

/// Begins a job as soon as the call that made it is committed.
pub(super) fn begin(plane: Arc<Plane>, region: String, account: String, id: String) {
    tokio::spawn(async move {
        let position = plane.regions.position(&region).unwrap_or_default();
        let key = BatchJob::key(&account, &region, &id);
        for _ in 0..LOOKS {
            tokio::time::sleep(COMMIT_LOOK_EVERY).await;
            match plane.transaction(position).get::<BatchJob>(&key).await {
                Ok(Some(_)) => return run(&plane, position, &account, &id).await,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a batch inference job cannot be looked for"),
            }
        }
    });
}

/// Takes up the jobs of a region that nobody works on.
pub(crate) async fn run_due(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    for (_, DueJob { account, id }) in plane.transaction(position).scan::<DueJob>(&Key::new("", &region), None, SCAN_LIMIT).await? {
        let plane = Arc::clone(plane);
        tokio::spawn(async move { run(&plane, position, &account, &id).await });
    }
    Ok(())
}

async fn run(plane: &Arc<Plane>, position: usize, account: &str, id: &str) {
    match Worker::of(plane, position, account, id).await {
        Ok(Some(worker)) => worker.work().await,
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "a batch inference job is left to background work"),
    }
}

/// Somebody who works on a job.
struct Worker {
    plane: Arc<Plane>,
    state: Arc<State>,
    position: usize,
    region: String,
    key: Key,
    holder: String,
}

impl Worker {
    /// Takes a job that nobody works on.
    async fn of(plane: &Arc<Plane>, position: usize, account: &str, id: &str) -> Result<Option<Self>, ApiError> {
        let region = plane.regions.at(position)?.name.clone();
        let state = plane.extension::<State>(RUNTIME).ok_or_else(|| ApiError::internal(&"the Bedrock runtime is not there"))?;
        let key = BatchJob::key(account, &region, id);
        let mut tx = plane.transaction(position);
        let Some(mut job) = tx.get::<BatchJob>(&key).await? else { return Ok(None) };
        let now_ms = plane.clock.now_ms();
        if job.stage.is_over() || job.held_until_ms > now_ms {
            return Ok(None);
        }
        let holder = plane.random_uuid()?;
        job.holder = Some(holder.clone());
        job.held_until_ms = now_ms.saturating_add(HOLD_MS);
        tx.put(&key, &job)?;
        match tx.commit(Vec::new()).await {
            Ok(()) => Ok(Some(Self { plane: Arc::clone(plane), state, position, region, key, holder })),
            Err(Abort::Conflict) => Ok(None),
            Err(Abort::Failed(error)) => Err(error),
        }
    }

    /// Works until the job is over, or somebody else's.
    async fn work(&self) {
        let (stage, message) = match Box::pin(self.process()).await {
            Ok(()) => (Stage::Completed, None),
            Err(Halt::Lost) => return,
            Err(Halt::Broken(error)) => {
                tracing::warn!(%error, "a batch inference job will be taken up again");
                return;
            }
            Err(Halt::Stopped) => (Stage::Stopped, None),
            Err(Halt::Expired) => (Stage::Expired, Some("The job was not done within its timeout.".to_owned())),
            Err(Halt::Failed(message)) => (Stage::Failed, Some(message)),
        };
        if let Err(Halt::Broken(error)) = Box::pin(self.close(stage, message)).await {
            tracing::warn!(%error, "the end of a batch inference job could not be written yet");
        }
    }

    /// The job as it is, while it is this worker's.
    async fn load(&self) -> Result<BatchJob, Halt> {
        let job = self.plane.transaction(self.position).get::<BatchJob>(&self.key).await?;
        job.filter(|job| job.holder.as_ref() == Some(&self.holder)).ok_or(Halt::Lost)
    }

    fn halted(&self, job: &BatchJob) -> Result<(), Halt> {
        if job.stage == Stage::Stopping {
            return Err(Halt::Stopped);
        }
        if self.plane.clock.now_ms() >= job.expires_ms() { Err(Halt::Expired) } else { Ok(()) }
    }

    /// Changes the job in a commit that holds only while it is this worker's and not to be halted.
    async fn update(
        &self,
        change: impl Fn(&mut BatchJob) + Send + Sync,
        more: impl Fn(&mut Transaction) -> Result<(), ApiError> + Send + Sync,
    ) -> Result<BatchJob, Halt> {
        for _ in 0..ATTEMPTS {
            let mut tx = self.plane.transaction(self.position);
            let found = tx.get::<BatchJob>(&self.key).await?;
            let mut job = found.filter(|job| job.holder.as_ref() == Some(&self.holder)).ok_or(Halt::Lost)?;
            self.halted(&job)?;
            let now_ms = self.plane.clock.now_ms();
            job.held_until_ms = now_ms.saturating_add(HOLD_MS);
            job.updated_ms = now_ms;
            change(&mut job);
            tx.put(&self.key, &job)?;
            more(&mut tx)?;
            match tx.commit(Vec::new()).await {
                Ok(()) => return Ok(job),
                Err(Abort::Conflict) => {}
                Err(Abort::Failed(error)) => return Err(error.into()),
            }
        }
        Err(Halt::Broken(ApiError::internal(&"the progress of a batch inference job could not be written")))
    }

    /// Waits for something, as long as the job is this worker's and not to be halted.
    async fn attend<T>(&self, work: impl Future<Output = T> + Send) -> Result<T, Halt> {
        let mut work = std::pin::pin!(work);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                _ = looks.tick() => {
                    let job = self.load().await?;
                    self.halted(&job)?;
                    if job.held_until_ms.saturating_sub(self.plane.clock.now_ms()) < HOLD_MS / 2 {
                        self.update(|_| {}, |_| Ok(())).await?;
                    }
                }
            }
        }
    }

    async fn role(&self, job: &BatchJob) -> Result<Role, ApiError> {
        Role::taken(&self.plane, &self.region, &job.account, &job.role_arn, &job.arn()).await
    }

    async fn process(&self) -> Result<(), Halt> {
        let mut job = self.load().await?;
        self.halted(&job)?;
        let role = self.role(&job).await?;
        let files = if let Some(files) = job.files.clone() {
            files
        } else {
            job = self.update(|job| job.stage = Stage::Validating, |_| Ok(())).await?;
            let (files, total) = self.attend(input::validate(&job, &role)).await??;
            let counts = Counts { total: u64::try_from(total).unwrap_or(u64::MAX), ..Counts::default() };
            // Who cannot write learns it before the model is asked. Until the end this manifest says that nothing is processed.
            output::write_manifest(&job, &role, counts).await?;
            let known = |job: &mut BatchJob| {
                job.files = Some(files.clone());
                job.counts = counts;
                job.stage = Stage::Scheduled;
            };
            self.update(known, |_| Ok(())).await?;
            files
        };
        let _turn = self.attend(self.state.batch_turns.acquire()).await?;
        job = self.update(|job| job.stage = Stage::InProgress, |_| Ok(())).await?;
        for (place, file) in files.iter().enumerate().skip(job.next.0) {
            job = Box::pin(self.file(job, &role, place, file)).await?;
        }
        Ok(output::write_manifest(&job, &role, job.counts).await?)
    }

    /// Asks the records of a file that are not answered yet, and writes it.
    async fn file(&self, mut job: BatchJob, role: &Role, place: usize, file: &InputFile) -> Result<BatchJob, Halt> {
        let lines = self.attend(input::read(&job, role, file)).await??;
        while let Some(chunk) = lines.get(job.next.1..job.next.1.saturating_add(CHUNK).min(lines.len())).filter(|chunk| !chunk.is_empty()) {
            let outcomes = self.attend(self.outcomes(&job, role, chunk)).await??;
            let denied = outcomes.iter().find_map(|outcome| outcome.error.as_ref().filter(|(status, _)| *status == 403));
            if let Some((_, message)) = denied {
                return Err(Halt::Failed(message.clone()));
            }
            let segment = Segment { outcomes };
            let at = Segment::key(&job, place, job.next.1);
            let count = |job: &mut BatchJob| {
                for outcome in &segment.outcomes {
                    job.counts.processed = job.counts.processed.saturating_add(1);
                    let kind = if outcome.error.is_none() { &mut job.counts.success } else { &mut job.counts.error };
                    *kind = kind.saturating_add(1);
                    job.counts.input_tokens = job.counts.input_tokens.saturating_add(outcome.tokens.0);
                    job.counts.output_tokens = job.counts.output_tokens.saturating_add(outcome.tokens.1);
                }
                job.next.1 = job.next.1.saturating_add(segment.outcomes.len());
            };
            job = self.update(count, |tx| tx.put(&at, &segment)).await?;
        }
        self.write(&job, role, place, file, &lines).await?;
        let written = output::keys(&mut self.plane.transaction(self.position), &job, place).await?;
        let next = (place.saturating_add(1), 0);
        let forget = |tx: &mut Transaction| {
            for key in &written {
                tx.delete::<Segment>(key);
            }
            Ok(())
        };
        self.update(|job| job.next = next, forget).await
    }

    async fn write(&self, job: &BatchJob, role: &Role, place: usize, file: &InputFile, lines: &[Line]) -> Result<(), Halt> {
        let outcomes = output::outcomes(&mut self.plane.transaction(self.position), job, place).await?;
        Ok(output::write(job, role, &file.name, output::lines(lines, &outcomes)?).await?)
    }

    /// Asks some records at once. A call that has begun is brought to its end, and recorded, even if the job is halted meanwhile.
    async fn outcomes(&self, job: &BatchJob, role: &Role, lines: &[Line]) -> Result<Vec<Outcome>, ApiError> {
        let mut asked = Vec::with_capacity(lines.len());
        for line in lines {
            let record_id = match &line.record_id {
                Some(id) => id.clone(),
                None => random_id(&self.plane)?,
            };
            let (role, model_id, is_converse, body) = (role.clone(), job.model_id.clone(), job.is_converse, line.model_input.clone());
            asked.push(tokio::spawn(async move {
                match patient(&role, &model_id, is_converse, &body).await {
                    Ok(answer) => Outcome { record_id, tokens: output::tokens(&answer), output: Some(answer), error: None },
                    Err(error) => {
                        Outcome { record_id, tokens: (0, 0), output: None, error: Some((status(&error), shortened(error.message))) }
                    }
                }
            }));
        }
        let mut outcomes = Vec::with_capacity(asked.len());
        for task in asked {
            outcomes.push(task.await.map_err(|error| ApiError::internal(&error))?);
        }
        Ok(outcomes)
    }

    /// Writes what there is of the file that was under way, and how the job ended.
    async fn close(&self, stage: Stage, message: Option<String>) -> Result<(), Halt> {
        let job = self.load().await?;
        let has_answers = job.counts.processed > 0;
        let is_halted = matches!(stage, Stage::Stopped | Stage::Expired);
        let (mut stage, mut message) = (if stage == Stage::Expired && has_answers { Stage::PartiallyCompleted } else { stage }, message);
        if is_halted
            && job.files.is_some()
            && let Err(halt) = self.write_rest(&job).await
        {
            match halt {
                Halt::Failed(why) => (stage, message) = (if stage == Stage::Stopped { stage } else { Stage::Failed }, Some(why)),
                other => return Err(other),
            }
        }
        for _ in 0..ATTEMPTS {
            let mut tx = self.plane.transaction(self.position);
            let found = tx.get::<BatchJob>(&self.key).await?;
            let mut job = found.filter(|job| job.holder.as_ref() == Some(&self.holder)).ok_or(Halt::Lost)?;
            let now_ms = self.plane.clock.now_ms();
            (job.updated_ms, job.ended_ms, job.stage, job.holder) = (now_ms, Some(now_ms), stage, None);
            job.message = message.clone().map(shortened);
            for key in output::keys(&mut tx, &job, job.next.0).await? {
                tx.delete::<Segment>(&key);
            }
            tx.delete::<DueJob>(&BatchJob::due_key(&self.region, &job.id));
            tx.put(&self.key, &job)?;
            match tx.commit(Vec::new()).await {
                Ok(()) => return Ok(()),
                Err(Abort::Conflict) => {}
                Err(Abort::Failed(error)) => return Err(error.into()),
            }
        }
        Err(Halt::Broken(ApiError::internal(&"the end of a batch inference job could not be written")))
    }

    async fn write_rest(&self, job: &BatchJob) -> Result<(), Halt> {
        let role = self.role(job).await?;
        let under_way = job.files.iter().flatten().nth(job.next.0);
        if let Some(file) = under_way.filter(|_| job.next.1 > 0) {
            let lines = input::read(job, &role, file).await?;
            self.write(job, &role, job.next.0, file, &lines).await?;
        }
        Ok(output::write_manifest(job, &role, job.counts).await?)
    }
}

fn random_id(plane: &Plane) -> Result<String, ApiError> {
    let mut bytes = [0_u8; ID_LENGTH];
    plane.randomness.fill(&mut bytes).map_err(|error| ApiError::internal(&error))?;
    let letter = |byte: &u8| ID_ALPHABET.get(usize::from(*byte) % ID_ALPHABET.len()).copied().map(char::from);
    Ok(bytes.iter().filter_map(letter).collect())
}

fn shortened(message: String) -> String {
    if message.chars().count() <= MESSAGE_LENGTH_MAX { message } else { message.chars().take(MESSAGE_LENGTH_MAX).collect() }
}

/// The status that an error has in the runtime's API.
fn status(error: &ApiError) -> u16 {
    error.status.unwrap_or(match error.code.as_ref() {
        "AccessDeniedException" => 403,
        "ResourceNotFoundException" => 404,
        "ModelTimeoutException" => 408,
        "ModelErrorException" => 424,
        "ThrottlingException" | "ModelNotReadyException" => 429,
        "InternalServerException" => 500,
        "ServiceUnavailableException" => 503,
        _ => 400,
    })
}

/// Asks, and asks again when a limit or an upstream says that it is too much at the moment.
async fn patient(role: &Role, model_id: &str, is_converse: bool, body: &Map<String, Json>) -> Result<Json, ApiError> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match ask(role, model_id, is_converse, body).await {
            Err(error) if matches!(status(&error), 429 | 503) => tokio::time::sleep(wait).await,
            done => return done,
        }
        wait = wait.saturating_mul(2).min(WAIT_MAX);
    }
    ask(role, model_id, is_converse, body).await
}

async fn ask(role: &Role, model_id: &str, is_converse: bool, body: &Map<String, Json>) -> Result<Json, ApiError> {
    let body = serde_json::to_vec(body)?;
    if is_converse { converse(role, model_id, &body).await } else { invoke(role, model_id, body).await }
}

async fn invoke(role: &Role, model_id: &str, body: Vec<u8>) -> Result<Json, ApiError> {
    let mut input = Struct::new();
    input.set("modelId", Value::Str(model_id.to_owned()));
    input.set("body", Value::Bytes(Bytes::from(body)));
    let input = InvokeModelInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
    let (answer, _) = role.call(input, None).await?;
    Ok(serde_json::from_slice(&answer.body.into_inner())?)
}

/// A `modelInput` is the body of a request of Converse, so it is decoded like one.
async fn converse(role: &Role, model_id: &str, body: &[u8]) -> Result<Json, ApiError> {
    let unknown = || ApiError::internal(&"the runtime has no operation Converse");
    let service = catalog().service(RUNTIME).ok_or_else(unknown)?;
    // The model stands in the path, where the decoder wants something: it is replaced.
    let headers = HeaderMap::new();
    let parts = RequestParts { method: "POST", path: "/model/m/converse", query: "", headers: &headers, host_label: None };
    let (operation, labels) = route_rest(service, &parts).ok_or_else(unknown)?;
    let malformed = |error: wire::DecodeError| Refusal::invalid(format!("Malformed input request: {error}"));
    let decoded = decode_input(Protocol::RestJson, service, operation, &parts, &labels, body).map_err(malformed)?;
    let Value::Struct(mut fields) = decoded else { return Err(unknown()) };
    fields.set("modelId", Value::Str(model_id.to_owned()));
    let input = ConverseInput::from_value(Value::Struct(fields)).map_err(|error| Refusal::invalid(error.to_string()))?;
    let (answer, _) = role.call(input, None).await?;
    let encoded = encode_output(Protocol::RestJson, service, operation, &answer.into_value(), "");
    Ok(serde_json::from_slice(&encoded.body)?)
}
