//! `r1 run`: one prompt, one reply.

use std::io::Read;

use r1core::{Chat, ChatOptions, EncodeOptions, Event, Finish, Message, SystemMessages};

use crate::args::{RunArgs, TemplateChoice};
use crate::interrupt::{self, Thought};
use crate::output::{Display, Failure, Outcome, report_unfinished};
use crate::{open, vote};

pub(crate) fn run(args: &RunArgs) -> Outcome {
    let prompt = prompt(args)?;
    let model = open::model(&args.reply.model)?;
    let mut session = model.session(open::session_options(&args.reply.model, Some(&args.reply.session)))?;
    let options = args.reply.options()?;
    let vote = args.vote.options(&options);
    let display = Display::new(args.json);
    if args.raw {
        let tokens = model.tokenizer().encode(&prompt, EncodeOptions { add_bos: true, parse_special: true });
        if tokens.is_empty() {
            return Err(Failure::Usage("the prompt is empty".into()));
        }
        return match vote {
            Some(vote) => {
                let vote = session.vote(&tokens, &vote)?;
                interrupt::answer_first(Thought::Vote(vote.handle()));
                vote::show(vote, args.json)
            }
            None => show(session.generate(&tokens, &options)?, display),
        };
    }
    let mut chat = Chat::new(session, chat_options(&args.reply.template)?)?;
    warn(&chat);
    if let Some(vote) = vote {
        let vote = chat.vote(&prompt, &vote)?;
        interrupt::answer_first(Thought::Vote(vote.handle()));
        return vote::show(vote, args.json);
    }
    show(chat.send(&prompt, &options)?, display)
}

/// Chat options that the flags ask for.
pub(crate) fn chat_options(choice: &TemplateChoice) -> Outcome<ChatOptions> {
    Ok(ChatOptions {
        template: open::template_choice(choice.template.as_deref())?,
        messages: choice.system.iter().map(Message::system).collect(),
        enable_thinking: choice.no_think.then_some(false),
        force_think: choice.force_think,
        variables: choice.template_var.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
        thoughts: choice.history.clone().unwrap_or_default(),
        systems: if choice.system_in_user { SystemMessages::IntoUserTurn } else { SystemMessages::Warn },
    })
}

/// Passes on what the model's authors advise.
pub(crate) fn warn(chat: &Chat) {
    for warning in chat.warnings() {
        eprintln!("r1: warning: {warning}");
    }
}

fn show(events: impl Iterator<Item = r1core::Result<Event>>, mut display: Display) -> Outcome {
    for event in events {
        if let Some(done) = display.show(&event?)? {
            report_unfinished(done);
            if done.finish == Finish::Cancelled {
                return Err(Failure::Interrupted);
            }
        }
    }
    Ok(())
}

fn prompt(args: &RunArgs) -> Outcome<String> {
    let given = args.prompt.as_ref().or(args.text.as_ref());
    match given.map(String::as_str) {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Ok(text)
        }
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::Usage("a prompt is needed".into())),
    }
}
