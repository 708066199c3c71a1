//! Trains and measures the models that `guard` ships. Run by `cargo xtask train` and `cargo xtask train --evaluate`.
//!
//! Everything follows from the seed, the grammar in this crate and the data sets, whose hashes go into the model card's list.
//! The data sets themselves are not part of the repository.

mod convolution;
mod dump;
mod evaluate;
mod example;
mod foreign;
mod grammar;
mod linear;
mod measure;
mod random;
mod scores;
mod speed;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use guard::model::{Convolution, Embeddings, Linear, Model, Transformer, WordPieces};

use example::{Builder, Example};

const SEED: u64 = 20_261_128;
const EPOCHS: usize = 4;

#[derive(Parser)]
struct Arguments {
    /// The folder of the data sets (JSON lines; see the model card for names and hashes).
    #[arg(long)]
    data: PathBuf,
    /// A folder of crates' sources, whose prose and code is benign text.
    #[arg(long)]
    prose: Option<PathBuf>,
    /// Where the weights go; nothing is written without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Train on what the grammar makes and on benign sets only, and measure on the attack sets.
    #[arg(long)]
    own_only: bool,
    /// Leave each origin out in turn and measure on it.
    #[arg(long)]
    leave_one_out: bool,
    /// Leave this origin out, with what other foreign sets have in common with its measured texts. Holds for `--dump`, too.
    #[arg(long)]
    origin: Option<String>,
    /// Measure the shipped weights and train nothing.
    #[arg(long)]
    shipped: bool,
    /// Write what each stage says about the measured sets to this file.
    #[arg(long)]
    scores: Option<PathBuf>,
    /// With `--scores`: every text of the measured sets, not a part.
    #[arg(long)]
    whole: bool,
    /// Measure without the transformer stage.
    #[arg(long)]
    shallow: bool,
    /// A folder with other weights to measure than the shipped ones.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Print the scores of a text.
    #[arg(long)]
    score: Option<String>,
    /// Measure how long each detector takes.
    #[arg(long)]
    speed: bool,
    /// Measure denied topics only.
    #[arg(long)]
    topics: bool,
    /// Measure grounding only.
    #[arg(long)]
    grounding: bool,
    /// Measure how many texts of a file (JSON lines with a member `text`) each strength acts on, as a user's and as data.
    #[arg(long)]
    texts: Option<PathBuf>,
    /// Print a sentence of a section of the grammar.
    #[arg(long)]
    say: Option<String>,
    /// Passes over the examples for the convolution; 0 trains the linear heads only.
    #[arg(long, default_value_t = EPOCHS)]
    epochs: usize,
    /// The seed of the examples and of the training: how much a measurement owes to it.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Write the examples and the sets that are measured to this file, for `scripts/train_transformer.py`.
    #[arg(long)]
    dump: Option<PathBuf>,
    /// A transformer stage (`scripts/train_transformer.py` writes it) to measure with what is trained; without it there is none.
    #[arg(long)]
    transformer: Option<PathBuf>,
    /// Print the texts that are judged wrongly.
    #[arg(long)]
    mistakes: bool,
}

/// The tables that every model shares.
struct Tables {
    pieces: WordPieces,
    embeddings: Embeddings,
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn tables() -> Result<Tables, String> {
    let pieces = WordPieces::parse(include_str!("../../guard/weights/vocabulary.txt"));
    let embeddings = Embeddings::parse(include_bytes!("../../guard/weights/embeddings.bin")).ok_or("the embeddings do not fit")?;
    Ok(Tables { pieces, embeddings })
}

type Deep = Option<&'static Transformer>;

fn train(
    tables: &Tables,
    examples: &[Example],
    (epochs, seed): (usize, u64),
    transformer: Deep,
) -> Result<(Model, Vec<u8>, Vec<u8>), String> {
    let places: Vec<usize> = (0..examples.len()).collect();
    let features = linear::features(examples);
    let weights = linear::train(examples, &features, &places, seed);
    drop(features);
    let pieces = convolution::pieces(examples, &tables.pieces);
    let convolution = convolution::train(examples, &pieces, &tables.embeddings, &places, epochs, seed);
    let (linear_bytes, convolution_bytes) = (Linear::encode(&weights.bias, &weights.weights), convolution.encode());
    let linear = Linear::parse(&linear_bytes).ok_or("the linear weights do not fit")?;
    let convolution = Convolution::parse(&convolution_bytes).ok_or("the convolution does not fit")?;
    let model = Model::new(tables.pieces.clone(), tables.embeddings.clone(), linear, convolution).with_transformer(transformer);
    Ok((model, linear_bytes, convolution_bytes))
}

fn save(folder: &Path, linear: &[u8], convolution: &[u8]) -> Result<(), String> {
    for (name, bytes) in [("linear.bin", linear), ("convolution.bin", convolution)] {
        std::fs::write(folder.join(name), bytes).map_err(|error| format!("`{name}` cannot be written: {error}"))?;
    }
    Ok(())
}

/// Reads a transformer stage, which lives as long as the program.
fn transformer(file: &Path) -> Result<&'static Transformer, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("`{}` cannot be read: {error}", file.display()))?;
    let transformer = Transformer::parse(Box::leak(bytes.into_boxed_slice())).ok_or("the transformer does not fit")?;
    Ok(Box::leak(Box::new(transformer)))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let mut builder = Builder::new(arguments.seed);
    let missing = builder.grammar.missing();
    if !missing.is_empty() {
        return Err(format!("the grammar names sections that do not exist: {}", missing.join(", ")));
    }
    if let Some(section) = &arguments.say {
        for _ in 0..30 {
            say(&builder.grammar.sentence(section, &mut builder.random).replace('\n', "⏎"));
        }
        return Ok(());
    }
    if let Some(text) = &arguments.score {
        let model = Model::shipped().ok_or("the shipped weights do not fit")?;
        for provenance in [guard::Provenance::User, guard::Provenance::Data] {
            let logit = guard::model::attack_logit(model, text, provenance);
            say(&format!("{provenance:?} {logit:.2} {:?}", guard::score_prompt_attack(text, provenance)));
        }
        say(&format!("{:?}", guard::score_content(text)));
        return Ok(());
    }
    if arguments.speed {
        return speed::measure();
    }
    if arguments.topics {
        return evaluate::topics(&arguments.data);
    }
    if arguments.grounding {
        evaluate::grounding(arguments.mistakes);
        return Ok(());
    }
    if arguments.shipped {
        let tables = tables()?;
        let read = |name: &str, shipped: &[u8]| match &arguments.weights {
            Some(folder) => std::fs::read(folder.join(name)).map_err(|error| format!("`{name}` cannot be read: {error}")),
            None => Ok(shipped.to_vec()),
        };
        let linear = Linear::parse(&read("linear.bin", include_bytes!("../../guard/weights/linear.bin"))?);
        let convolution = Convolution::parse(&read("convolution.bin", include_bytes!("../../guard/weights/convolution.bin"))?);
        let (linear, convolution) = (linear.ok_or("the linear weights do not fit")?, convolution.ok_or("the convolution does not fit")?);
        let deep = match arguments.transformer.as_deref() {
            Some(file) => Some(transformer(file)?),
            None => Transformer::shipped().filter(|_| !arguments.shallow),
        };
        if let Some(file) = &arguments.scores {
            let of = |deep| {
                Model::new(tables.pieces.clone(), tables.embeddings.clone(), linear.clone(), convolution.clone()).with_transformer(deep)
            };
            return scores::write(&of(None), &of(deep), &arguments.data, file, arguments.whole);
        }
        let model = Model::new(tables.pieces, tables.embeddings, linear, convolution).with_transformer(deep);
        if let Some(file) = &arguments.texts {
            return evaluate::texts(&model, file);
        }
        return evaluate::all(&model, &arguments.data, arguments.mistakes);
    }
    let mut hashes = Vec::new();
    builder.synthetic_user(150);
    builder.synthetic_data(150);
    builder.synthetic_content(160);
    builder.data_sets(&arguments.data, &mut hashes)?;
    if let Some(folder) = &arguments.prose {
        builder.prose(folder, &mut hashes);
    }
    let tables = tables()?;
    let mut examples = builder.examples;
    if let Some(origin) = &arguments.origin {
        examples = foreign::without(examples, origin, &arguments.data)?;
    }
    if let Some(file) = &arguments.dump {
        return dump::write(&examples, &tables.pieces, &arguments.data, file);
    }
    let transformer = arguments.transformer.as_deref().map(transformer).transpose()?;
    say(&format!("{} examples", examples.len()));
    if arguments.own_only {
        examples.retain(|example| !foreign::ORIGINS.contains(&example.origin));
        let (model, linear, convolution) = train(&tables, &examples, (arguments.epochs, arguments.seed), transformer)?;
        if let Some(folder) = &arguments.out {
            save(folder, &linear, &convolution)?;
        }
        return evaluate::all(&model, &arguments.data, arguments.mistakes);
    }
    if let Some(origin) = &arguments.origin {
        let (model, ..) = train(&tables, &examples, (arguments.epochs, arguments.seed), transformer)?;
        return evaluate::one(&model, &arguments.data, origin);
    }
    if arguments.leave_one_out {
        for origin in foreign::ORIGINS {
            let kept = foreign::without(examples.clone(), origin, &arguments.data)?;
            let (model, ..) = train(&tables, &kept, (arguments.epochs, arguments.seed), transformer)?;
            evaluate::one(&model, &arguments.data, origin)?;
        }
        return Ok(());
    }
    let (model, linear, convolution) = train(&tables, &examples, (arguments.epochs, arguments.seed), transformer)?;
    if let Some(folder) = &arguments.out {
        save(folder, &linear, &convolution)?;
        let lines: Vec<String> = hashes.iter().map(|(name, hash, count)| format!("{hash}  {name} ({count})\n")).collect();
        std::fs::write(folder.join("data.sha256"), lines.concat()).map_err(|error| format!("the hashes cannot be written: {error}"))?;
    }
    evaluate::all(&model, &arguments.data, arguments.mistakes)
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
