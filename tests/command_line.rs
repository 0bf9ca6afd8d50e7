//! The verbs and flags of `r1`, as scripts use them: what goes to standard output, and which exit code says what.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/r1-tiny-q8_0.gguf");

/// Runs `r1` with `input` on its standard input.
fn r1(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_r1"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Standard output of a run that must succeed.
fn ok(args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = r1(args, input);
    assert!(output.status.success(), "r1 {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

#[test]
fn the_first_command_of_the_readme_thinks_and_answers() {
    let stdout = String::from_utf8(ok(&["run", "What is 37 * 24?"], b"")).unwrap();
    let (thought, answer) = stdout.split_once("\n\n").unwrap();
    assert!(thought.contains("740+148") && answer.contains("888"), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn json_output_is_events_and_nothing_else() {
    let lines = json_lines(&ok(&["run", "--json", "--temp", "0", "-p", "What is 37 * 24?"], b""));
    let kind = |line: &Value| line["type"].as_str().unwrap().to_owned();
    let text = |wanted: &str| -> String {
        lines.iter().filter(|l| kind(l) == wanted).map(|l| l["text"].as_str().unwrap()).collect()
    };
    assert!(text("thought").contains("37*24") && text("answer").contains("888"));
    let [.., usage, done] = lines.as_slice() else { panic!("too few lines") };
    assert_eq!((kind(usage), kind(done)), ("usage".into(), "done".into()));
    for field in ["prompt", "reasoning", "tag", "forced", "answer", "prefill_ms", "decode_ms"] {
        assert!(usage[field].is_number(), "usage has '{field}'");
    }
    assert_eq!((&done["finish"], &done["close"]), (&"stop".into(), &"natural".into()));
}

#[test]
fn replies_keep_their_rules() {
    let schema = r#"{"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"],
        "additionalProperties": false}"#;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (schema_file, lark) = (file("schema.json", schema), file("grammar.lark", "start: \"yes\" | \"no\""));
    let answer = |flags: &[&str]| -> (String, Value) {
        let args = [&["run", "--json", "--temp", "0"], flags, &["What is 37 * 24?"]].concat();
        let lines = json_lines(&ok(&args, b""));
        let text = lines.iter().filter(|l| l["type"] == "answer").map(|l| l["text"].as_str().unwrap()).collect();
        (text, lines.last().unwrap()["complete"].clone())
    };
    for given in [schema, &schema_file] {
        let (text, complete) = answer(&["--json-schema", given]);
        assert!(serde_json::from_str::<Value>(&text).unwrap()["answer"].is_i64() && complete == true, "{text}");
    }
    let boxed = r"The answer is \\boxed\{[0-9]+\}\.";
    assert_eq!(answer(&["--regex", boxed]), (r"The answer is \boxed{888}.".into(), true.into()));
    assert!(["yes", "no"].contains(&&*answer(&["--grammar", &lark]).0));
    assert_eq!(answer(&["--json-object", "-n", "20"]).1, false);
    let (text, complete) = answer(&["--script", "latin", "--answer-script", "han"]);
    assert!(!text.chars().any(|c| c.is_ascii_alphabetic()) && complete.is_null(), "{text}");
    for bad in [["--json-schema", "{"], ["--regex", "("], ["--script", "english"]] {
        assert_eq!(r1(&["run", bad[0], bad[1], "Hi"], b"").status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn seeds_and_limits_are_obeyed() {
    let run = |seed: &str| ok(&["run", "--seed", seed, "--temp", "1", "-n", "30", "What is 371 * 248?"], b"");
    assert_eq!(run("5"), run("5"));
    let lines = json_lines(&ok(&["run", "--json", "-n", "5", "What is 37 * 24?"], b""));
    assert_eq!(lines.last().unwrap()["finish"], "length");
}

#[test]
fn exit_codes_tell_usage_from_failure_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.gguf");
    std::fs::write(&page, "<!DOCTYPE html><html><body>Not found</body></html>").unwrap();
    let page = page.to_str().unwrap();
    for (args, code, needle) in [
        (&["run"][..], 2, ""),
        (&["run", "--threads", "0", "Hi"], 2, "threads"),
        (&["run", "--temp", "-1", "Hi"], 2, "temperature"),
        (&["run", "--kernels", "abacus", "Hi"], 2, "abacus"),
        (&["run", "-m", "does-not-exist.gguf", "Hi"], 1, "does-not-exist.gguf"),
        (&["run", "-m", page, "Hi"], 1, "page.gguf"),
        (&["inspect", page], 1, "web page"),
        (&["run", "--template", "no-such-preset", "Hi"], 1, "chatml"),
        (&["run", "-c", "8", "What is 37 * 24?"], 1, "8"),
    ] {
        let output = r1(args, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "r1 {args:?}: {stderr}");
        assert!(stderr.contains(needle), "r1 {args:?}: {stderr}");
        assert!(output.stdout.is_empty());
        if code == 1 {
            assert_eq!(stderr.trim_end().lines().count(), 1, "r1 {args:?}: {stderr}");
        }
    }
}

#[test]
fn text_survives_the_way_to_tokens_and_back() {
    let text = "naïve café — ½ ²\r\n\t 你好，世界！ 🦙🚀 12345 <｜User｜><think> e\u{301} \u{2028}x";
    let ids = ok(&["tokenize"], text.as_bytes());
    assert_eq!(ok(&["detokenize", "-m", SHIPPED], &ids), text.as_bytes());
    let ids = String::from_utf8(ids).unwrap();
    assert_eq!(ids.trim_end().lines().count(), 1);

    let json = &json_lines(&ok(&["tokenize", "--json"], text.as_bytes()))[0];
    let from_json: Vec<String> = json["ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(from_json.join(" "), ids.trim_end());

    let count = |args: &[&str]| String::from_utf8(ok(args, "<｜User｜>".as_bytes())).unwrap().split(' ').count();
    assert_eq!(count(&["tokenize", "--special"]), 1, "a control token where it is asked for");
    assert!(count(&["tokenize"]) > 1, "plain text by default");
    assert_eq!(count(&["tokenize", "--special", "--bos"]), 2);
    assert_eq!(r1(&["detokenize"], b"1 x 2").status.code(), Some(2));
}

#[test]
fn templates_print_the_prompt_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let messages = dir.path().join("messages.json");
    std::fs::write(&messages, r#"[{"role": "user", "content": "Hi"}]"#).unwrap();
    let messages = messages.to_str().unwrap();
    let print = |args: &[&str]| String::from_utf8(ok(args, b"")).unwrap();
    assert_eq!(
        print(&["template", "--messages", messages]),
        "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\n"
    );
    assert!(!print(&["template", "--messages", messages, "--no-generation-prompt"]).contains("Assistant"));
    assert_eq!(
        print(&["template", "--template", "chatml", "--messages", messages]),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    let file = dir.path().join("own.jinja");
    std::fs::write(&file, "{{ messages[0].content|upper }}").unwrap();
    assert_eq!(print(&["template", "--template", file.to_str().unwrap(), "--messages", messages]), "HI");
}

#[test]
fn inspect_tells_what_a_file_needs() {
    let json = &json_lines(&ok(&["inspect", "--json", "-c", "1000", SHIPPED], b""))[0];
    assert_eq!(json["metadata"]["general.architecture"], "qwen2");
    assert!(
        json["tensors"].as_array().unwrap().iter().any(|t| t["name"] == "token_embd.weight" && t["type"] == "Q8_0")
    );
    // 8 layers, keys and values of 2 heads of 64, 2 bytes each, 16 pages of 64 positions.
    assert_eq!(json["memory"]["cache"], 8 * 2 * 2 * 64 * 2 * 1024);
    let text = String::from_utf8(ok(&["inspect"], b"")).unwrap();
    assert!(text.contains("token_embd.weight") && text.contains("memory for a context of"));
}

#[test]
fn measurements_are_numbers() {
    let lines = json_lines(&ok(&["bench", "-p", "16", "-n", "4", "-b", "1,2", "-r", "1", "--json"], b""));
    let tests: Vec<_> = lines.iter().map(|l| (l["test"].as_str().unwrap(), l["batch"].as_u64())).collect();
    assert_eq!(
        tests,
        [("load", None), ("limits", None), ("prefill", Some(1)), ("decode", Some(1)), ("batch", Some(2))]
    );
    assert!(lines[2..].iter().all(|l| l["tokens_per_second"].as_f64().unwrap() > 0.0));
    assert!(lines[0]["first_logits_s"].as_f64().unwrap() >= lines[0]["load_s"].as_f64().unwrap());
    assert!(lines[1]["decode_ceiling"].as_f64().unwrap() > 0.0);

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.txt");
    std::fs::write(&file, "What is 37 * 24? Now 37*24 = 37*20 + 37*4 = 740 + 148 = 888.").unwrap();
    let json = &json_lines(&ok(&["perplexity", "-f", file.to_str().unwrap(), "--json"], b""))[0];
    let (nll, perplexity) = (json["nll"].as_f64().unwrap(), json["perplexity"].as_f64().unwrap());
    assert!(nll > 0.0 && (nll.exp() - perplexity).abs() < 1e-6 * perplexity && json["tokens"].as_u64().unwrap() > 20);

    let lines = json_lines(&ok(&["logits", "--json", "--top", "3"], b"762 764 40\n1 2 3\n"));
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["ids"], lines[0]["top"].as_array().unwrap().len()), (&3.into(), 3));

    let device = &json_lines(&ok(&["devices", "--json"], b""))[0];
    assert_eq!(device["name"], "cpu");
}

#[test]
fn kernels_and_load_modes_change_nothing_but_speed() {
    let run = |args: &[&str]| {
        let mut all = vec!["run", "--json", "-n", "12", "-m", SHIPPED, "What is 12 + 30?"];
        all.extend(args);
        let lines = json_lines(&ok(&all, b""));
        lines.into_iter().filter(|l| l["type"] != "usage").collect::<Vec<_>>()
    };
    let plain = run(&[]);
    assert_eq!(run(&["--kernels", "scalar"]), plain);
    assert_eq!(run(&["--load", "read", "--threads", "3"]), plain);
    let forced = Command::new(env!("CARGO_BIN_EXE_r1"))
        .env("R1_KERNELS", "scalar")
        .env("R1_LOG", "info")
        .args(["run", "--json", "-n", "12", "-m", SHIPPED, "What is 12 + 30?"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&forced.stderr).contains("scalar kernels"), "the log names the choice");
    let forced: Vec<_> = json_lines(&forced.stdout).into_iter().filter(|l| l["type"] != "usage").collect();
    assert_eq!(forced, plain);
}

#[test]
fn chat_holds_a_conversation_on_a_pipe() {
    let stdout = ok(&["chat", "--temp", "0"], "What is 37 * 24?\nWhat is 12 + 30?\n".as_bytes());
    let stdout = String::from_utf8(stdout).unwrap();
    let (first, second) = (stdout.find("888").unwrap(), stdout.rfind("42").unwrap());
    assert!(first < second, "{stdout}");
}

#[test]
fn budgets_and_deadlines_close_the_thought_and_say_so() {
    let last = |args: &[&str]| {
        let mut all = vec!["run", "--json", "--temp", "0", "What is 37 * 24?"];
        all.extend(args);
        let lines = json_lines(&ok(&all, b""));
        let answered = lines.iter().any(|l| l["type"] == "answer");
        let [.., usage, done] = lines.as_slice() else { panic!("too few lines") };
        (usage["reasoning"].as_u64().unwrap(), done["close"].as_str().unwrap().to_owned(), answered)
    };
    assert_eq!(last(&["--budget", "10"]), (10, "budget".into(), true));
    assert_eq!(last(&["--budget", "0"]).0, 0);
    let (reasoning, close, _) = last(&["--budget", "10", "--boundary", "line", "--grace", "30"]);
    assert!((10..=40).contains(&reasoning) && close == "budget");
    // A model that may not close its thought runs into the clock.
    assert_eq!(last(&["--min-think", "100000", "--think-deadline", "50"]).1, "deadline");
    assert_eq!(last(&[]).1, "natural");
}

#[cfg(unix)]
#[test]
fn the_first_ctrl_c_in_a_chat_asks_for_the_answer() {
    use std::io::Read;
    let mut chat = Command::new(env!("CARGO_BIN_EXE_r1"))
        .args(["chat", "--temp", "0", "--min-think", "100000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    chat.stdin.as_mut().unwrap().write_all(b"What is 37 * 24?\n").unwrap();
    // The thought has begun once anything is printed.
    let mut stdout = chat.stdout.take().unwrap();
    let mut text = vec![0];
    stdout.read_exact(&mut text).unwrap();
    assert!(Command::new("kill").args(["-INT", &chat.id().to_string()]).status().unwrap().success());
    drop(chat.stdin.take());
    stdout.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(chat.wait().unwrap().success() && text.contains("boxed"), "{text}");
}

#[test]
fn thoughts_end_on_a_sign_or_do_not_begin() {
    let done = |flags: &[&str]| {
        let args = [&["run", "--json", "--temp", "0", "-p", "What is 37 * 24?"], flags].concat();
        let lines = json_lines(&ok(&args, b""));
        let thinks = lines.iter().any(|line| line["type"] == "thought");
        (thinks, lines.last().unwrap()["close"].as_str().unwrap().to_owned())
    };
    assert_eq!(done(&["--until", "37"]), (true, "pattern".into()));
    assert_eq!(done(&["--until", "never said", "--until-settled", "99"]), (true, "natural".into()));
    assert_eq!(done(&["--no-think"]), (false, "none".into()));
}

#[test]
fn a_system_message_for_r1_is_warned_of() {
    let warnings = |flags: &[&str]| {
        let args = [&["run", "-n", "4", "-p", "Hi", "--system", "Be brief."], flags].concat();
        String::from_utf8(r1(&args, b"").stderr).unwrap().matches("r1: warning: the authors of R1").count()
    };
    assert_eq!((warnings(&[]), warnings(&["--system-in-user"])), (1, 0));
    for bad in [&["run", "--history", "often", "-p", "Hi"][..], &["run", "--system-in-user", "-p", "Hi"]] {
        assert_eq!(r1(bad, b"").status.code(), Some(2));
    }
}

#[test]
fn a_conversation_goes_on_with_as_much_of_its_thoughts_as_is_wanted() {
    for history in ["template", "keep", "drop", "100"] {
        let args = ["chat", "--temp", "0", "--history", history];
        let stdout = String::from_utf8(ok(&args, b"What is 12 + 30?\nWhat is 5 * 7?\n")).unwrap();
        assert!(stdout.contains("42") && stdout.contains("35"), "{history}: {stdout}");
    }
}
