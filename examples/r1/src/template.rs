//! `r1 template`: the rendered prompt, and nothing else.

use std::io::{self, Write};

use r1core::{ChatTemplate, LoadMode, Message, RenderOptions, Tokenizer};

use crate::args::TemplateArgs;
use crate::open;
use crate::output::{Failure, Outcome};

pub(crate) fn run(args: &TemplateArgs) -> Outcome {
    let explicit = open::template_choice(args.template.as_deref())?;
    let template = if args.model.is_none() && explicit.is_some() {
        ChatTemplate::for_model(None, explicit.as_deref(), "", "")?
    } else {
        let gguf = open::gguf(args.model.as_deref(), LoadMode::HeaderOnly)?;
        let tokenizer = Tokenizer::from_metadata(gguf.metadata())?;
        let own = gguf.metadata().str("tokenizer.chat_template")?;
        ChatTemplate::for_model(own, explicit.as_deref(), tokenizer.bos_text(), tokenizer.eos_text())?
    };
    let messages = match &args.messages {
        Some(path) => {
            let json = std::fs::read_to_string(path).map_err(|e| Failure::File(path.display().to_string(), e))?;
            Message::list_from_json(&json)?
        }
        None => vec![Message::user("What is 37 * 24?")],
    };
    let options = RenderOptions {
        messages: &messages,
        add_generation_prompt: !args.no_generation_prompt,
        enable_thinking: args.no_think.then_some(false),
        ..RenderOptions::default()
    };
    let text = template.render(&options)?;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
