//! `bailiwick demo`: the main job, end to end, over real HTTP with signed requests.
//!
//! The demo is an ordinary client of the public API with no back door. The one thing that it does beside calls is what any owner of the
//! machine can do: it searches the bytes on disk for what must not be there.

mod attack;
mod evidence;
mod lockdown;
mod model;
mod region;
mod stage;

use std::path::PathBuf;

use crate::command::up::{Serving, Up};
use crate::command::{Failure, Settings, output};
use stage::Stage;

/// Lock down a model end to end, printing what was proved.
#[derive(clap::Args)]
pub struct Demo {
    /// OpenAI-compatible model server (vLLM, Ollama, llama.cpp), for example `http://127.0.0.1:11434/v1`. Without it the embedded
    /// deterministic responder answers.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Model to ask the upstream for; by default the first that it lists.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// End after the last step; the exit status is 0 only if every step was proved.
    #[arg(long)]
    exit: bool,
    /// Port to serve on; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Demo {
    pub async fn run(self) -> Result<(), Failure> {
        crate::command::up::start_log();
        let folder = tempfile::Builder::new().prefix("bailiwick-demo-").tempdir()?;
        let serving = self.serve(folder.path().join("state")).await?;
        let mut stage = Stage::new(&serving)?;
        let mut result = play(&mut stage, self.model.as_deref()).await;
        if result.is_ok() {
            result = self.organization(&mut stage, folder.path().join("organization")).await;
        }
        stage.table()?;
        if let Err(error) = &result {
            output::line(&format!("\nthe demo broke off: {}", error.message))?;
        }
        let all_proved = result.is_ok() && stage.all_proved();
        if !self.exit {
            keep_serving(&serving, &stage)?;
            let _ = tokio::signal::ctrl_c().await;
        }
        serving.finish().await;
        if all_proved { Ok(()) } else { Err(Failure::general("not every step was proved")) }
    }

    /// The last step has a server of its own, which keeps nothing.
    async fn organization(&self, stage: &mut Stage, data_dir: PathBuf) -> Result<(), Failure> {
        stage.chapter("7. An organization keeps the model in approved regions")?;
        let settings = Settings {
            data_dir: Some(data_dir),
            listen: vec!["https://127.0.0.1:0".to_owned()],
            regions: region::REGIONS.map(str::to_owned).to_vec(),
            upstream: self.upstream.clone(),
            ..Settings::default()
        };
        let serving = Up { settings, ephemeral: true, ..Up::default() }.start().await?;
        let result = region::locked(stage, &serving).await;
        serving.finish().await;
        result
    }

    async fn serve(&self, data_dir: PathBuf) -> Result<Serving, Failure> {
        let settings = Settings {
            data_dir: Some(data_dir),
            listen: vec![format!("https://127.0.0.1:{}", self.port)],
            upstream: self.upstream.clone(),
            ..Settings::default()
        };
        Up { settings, ..Up::default() }.start().await
    }
}

async fn play(stage: &mut Stage, model: Option<&str>) -> Result<(), Failure> {
    stage.chapter("1. One-time bootstrap: identities")?;
    lockdown::identities(stage).await?;
    stage.chapter("2. A key, an encrypted bucket, a real file")?;
    lockdown::data(stage).await?;
    stage.chapter("3. Least privilege over services that are not even implemented yet")?;
    lockdown::least_privilege(stage).await?;
    stage.chapter("4. The app asks the model, with a guardrail in front")?;
    model::converse(stage, model).await?;
    stage.chapter("5. Attempts that must fail")?;
    attack::signatures(stage).await?;
    attack::disabled_key(stage).await?;
    stage.chapter("6. The record of all of it")?;
    evidence::lookup(stage).await?;
    evidence::explain(stage).await
}

fn keep_serving(serving: &Serving, stage: &Stage) -> Result<(), Failure> {
    output::line("")?;
    output::line("The server keeps serving. In another shell:")?;
    output::line(&format!("  eval \"$(bailiwick env --data-dir {})\"", serving.data_dir.display()))?;
    output::line(&format!(
        "  export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}",
        stage.administrator.access_key_id,
        stage.administrator.secret_access_key.as_str()
    ))?;
    output::line("  aws sts get-caller-identity")?;
    output::line("Press Ctrl-C to end; the state of the demo is then removed.")
}
