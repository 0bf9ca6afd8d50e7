//! What a reply is made of: scripts and grammars.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use r1core::GenerateOptions;
use r1core::constraint::{Grammar, Scripts};

use crate::output::{Failure, Outcome};

/// Rules that the reply keeps.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What the reply is made of")]
pub(crate) struct RuleArgs {
    /// Write in these scripts only, such as latin or han,latin; digits and punctuation are always allowed
    #[arg(long, value_name = "NAME,...")]
    script: Option<Scripts>,
    /// As --script, for the thought alone
    #[arg(long, value_name = "NAME,...")]
    think_script: Option<Scripts>,
    /// As --script, for the answer alone
    #[arg(long, value_name = "NAME,...")]
    answer_script: Option<Scripts>,
    /// The answer is JSON that this schema describes: a file, or the schema itself
    #[arg(long, value_name = "FILE|TEXT", group = "answer_grammar")]
    json_schema: Option<String>,
    /// The answer is a JSON object
    #[arg(long, group = "answer_grammar")]
    json_object: bool,
    /// This regular expression matches the whole answer
    #[arg(long, value_name = "PATTERN", group = "answer_grammar")]
    regex: Option<String>,
    /// The answer follows this grammar, in Lark's syntax
    #[arg(long, value_name = "FILE", group = "answer_grammar")]
    grammar: Option<PathBuf>,
}

impl RuleArgs {
    /// Adds the rules to what is generated.
    pub(crate) fn apply(&self, options: &mut GenerateOptions) -> Outcome {
        options.think.scripts = self.think_script.clone().or_else(|| self.script.clone());
        options.scripts = self.answer_script.clone().or_else(|| self.script.clone());
        options.grammar = if let Some(schema) = &self.json_schema {
            let is_text = schema.trim_start().starts_with('{');
            Some(Grammar::JsonSchema(if is_text { schema.clone() } else { read(Path::new(schema))? }))
        } else if self.json_object {
            Some(Grammar::Json)
        } else if let Some(pattern) = &self.regex {
            Some(Grammar::Regex(pattern.clone()))
        } else {
            self.grammar.as_deref().map(read).transpose()?.map(Grammar::Lark)
        };
        Ok(())
    }
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|e| Failure::File(path.display().to_string(), e))
}
