//! One task under one pass.

use r1core::answer::equal;
use r1core::voting::{EarlyStop, Voters};
use r1core::{
    Chat, ChatOptions, EncodeOptions, ErrorKind, Finish, Result, Session, VoteOptions, VoteResult, VoteSample,
};

use super::record::{Record, Sample};
use super::settings::{Pass, Settings};
use super::task::Task;
use crate::output::{Failure, Outcome};

/// Runs tasks on one session.
#[derive(Debug)]
pub(super) struct Meter {
    session: Option<Session>,
    /// How the prompts are rendered; `None` takes them as they are.
    chat: Option<ChatOptions>,
}

impl Meter {
    pub(super) fn new(session: Session, chat: Option<ChatOptions>) -> Meter {
        Meter { session: Some(session), chat }
    }

    pub(super) fn measure(&mut self, task: &Task, pass: Pass, settings: &Settings) -> Outcome<Record> {
        let options = VoteOptions {
            samples: settings.samples,
            generate: settings.generate(pass),
            kind: task.kind.clone(),
            // The paper's consensus asks every sample that has an answer.
            voters: Voters::All,
            early_stop: if let Pass::EarlyStop(rule) = pass { rule } else { EarlyStop::Never },
            ..VoteOptions::default()
        };
        let mut record = Record {
            settings: String::new(),
            task: task.key.clone(),
            pass: pass.to_string(),
            answer: None,
            correct: false,
            tokens: 0,
            samples: Vec::new(),
            error: None,
        };
        match self.vote(&task.prompt, &options) {
            Ok(result) if result.reason.is_none() => return Err(Failure::Interrupted),
            Ok(result) => {
                let ended = result.samples.iter().filter(|sample| sample.finish != Finish::Cancelled);
                record.samples = ended.map(|sample| judge(task, sample)).collect();
                record.correct = result.answer.as_deref().is_some_and(|answer| equal(&task.kind, answer, &task.answer));
                record.answer = result.answer;
                record.tokens = result.tokens as u64;
            }
            // One prompt that is too long fails alone.
            Err(e) if e.kind() == ErrorKind::ContextFull => record.error = Some(e.to_string()),
            Err(e) => return Err(e.into()),
        }
        Ok(record)
    }

    fn vote(&mut self, prompt: &str, options: &VoteOptions) -> Result<VoteResult> {
        let Some(mut session) = self.session.take() else {
            return Err(r1core::Error::new(ErrorKind::State, "an earlier task has failed"));
        };
        let Some(chat) = &self.chat else {
            let encode = EncodeOptions { add_bos: true, parse_special: true };
            let tokens = session.model().tokenizer().encode(prompt, encode);
            session.truncate(0);
            let result = session.vote(&tokens, options).and_then(|vote| vote.result());
            self.session = Some(session);
            return result;
        };
        let mut chat = Chat::new(session, chat.clone())?;
        let result = chat.vote(prompt, options).and_then(|vote| vote.result());
        self.session = Some(chat.into_session());
        result
    }
}

fn judge(task: &Task, sample: &VoteSample) -> Sample {
    Sample {
        answer: sample.answer.clone(),
        correct: sample.answer.as_deref().is_some_and(|answer| equal(&task.kind, answer, &task.answer)),
        thought: sample.usage.reasoning as u64,
        tokens: sample.usage.generated() as u64,
        finish: sample.finish.as_str().to_owned(),
        close: sample.close.as_str().to_owned(),
    }
}
