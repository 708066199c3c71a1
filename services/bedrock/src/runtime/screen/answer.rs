//! An answer that is written while it is screened: the text of one guardrail goes into the next.

use guard::{KeptSecrets, StreamGuard, StreamPace, StreamStep};
use plane::ApiError;

use super::{Screen, too_long};

/// The guards of one streamed answer.
pub(crate) struct AnswerGuard<'g>(Vec<StreamGuard<'g>>);

impl Screen {
    /// Whether an answer can only be judged whole: nothing of it may be shown before [`Screen::run`] has seen it.
    pub(crate) fn holds_answers(&self) -> bool {
        self.applied.iter().any(|applied| applied.guardrail.needs_the_whole_answer())
    }

    /// Guards for a streamed answer.
    pub(crate) fn answer_guard(&self) -> AnswerGuard<'_> {
        let context = self.context();
        let secrets = KeptSecrets { system_prompt: context.system_prompt, canaries: self.spotlight.iter().cloned().collect() };
        let pace = if self.is_async { StreamPace::Asynchronous } else { StreamPace::Synchronous };
        AnswerGuard(self.applied.iter().map(|applied| StreamGuard::with(&applied.guardrail, secrets.clone(), pace)).collect())
    }
}

impl AnswerGuard<'_> {
    /// Takes the next piece and gives what may be shown.
    pub(crate) fn push(&mut self, piece: &str) -> Result<StreamStep, ApiError> {
        let mut text = piece.to_owned();
        for number in 0..self.0.len() {
            let Some(guard) = self.0.get_mut(number) else { break };
            let step = guard.push(&text).map_err(|error| too_long(&error))?;
            if step.is_blocked {
                let rest = self.0.split_off((number + 1).min(self.0.len()));
                self.0.clear();
                return ended(rest, step);
            }
            text = step.text;
        }
        Ok(StreamStep { text, ..StreamStep::default() })
    }

    /// Ends the answer and gives the rest.
    pub(crate) fn finish(self) -> Result<StreamStep, ApiError> {
        ended(self.0, StreamStep::default())
    }
}

/// Ends an answer through the guards that are left. The message of one that has blocked goes past the others, as it does for a whole text; what it let
/// pass before does not.
fn ended(guards: Vec<StreamGuard<'_>>, first: StreamStep) -> Result<StreamStep, ApiError> {
    let mut so_far = first;
    for mut guard in guards {
        let message_at = so_far.text.len() - so_far.message_bytes.min(so_far.text.len());
        let message = so_far.text.split_off(message_at);
        let mut step = guard.push(&so_far.text).map_err(|error| too_long(&error))?;
        if !step.is_blocked {
            let end = guard.finish().map_err(|error| too_long(&error))?;
            step = StreamStep { text: step.text + &end.text, ..end };
        }
        if !step.is_blocked {
            step.text.push_str(&message);
            step = StreamStep { is_blocked: so_far.is_blocked, message_bytes: message.len(), ..step };
        }
        so_far = step;
    }
    Ok(so_far)
}
