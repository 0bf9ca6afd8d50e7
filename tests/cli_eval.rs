//! What `r1 eval` and `r1 run --votes` promise: figures that add up, runs that go on where they were stopped.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const TASKS: [(&str, &str, &str, &str); 10] = [
    ("Find the product of 37 and 24.", "888", "integer", "product"),
    ("What is 12 + 30?", "42", "integer", "sum"),
    ("What is 99 - 45?", "54.0", "math", "sum"),
    ("What is 25 * 4?", r"\frac{200}{2}", "math", "product"),
    ("What is 3 * 9?", "27", "exact", "product"),
    ("What is 8 + 9?", "17", "regex:boxed\\{(\\d+)\\}", "sum"),
    ("What is the gcd of 84 and 36?", "12", "integer", "number theory"),
    ("What is the lcm of 12 and 18?", "36", "integer", "number theory"),
    // A wrong reference: no model gets it right.
    ("What is 40 + 2?", "43", "integer", "trap"),
    ("Compute 4821 + 377 - 1500.", "3698", "integer", "sum"),
];

fn r1(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_r1")).args(args).args(["--threads", "2"]).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn tasks(folder: &Path) -> PathBuf {
    let line = |(prompt, answer, kind, group): &(&str, &str, &str, &str)| {
        serde_json::json!({"prompt": prompt, "answer": answer, "kind": kind, "group": group}).to_string() + "\n"
    };
    let path = folder.join("tasks.jsonl");
    std::fs::write(&path, TASKS.iter().map(line).collect::<String>()).unwrap();
    path
}

#[test]
fn figures_add_up_and_a_stopped_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, out, plot) = (tasks(folder.path()), folder.path().join("out.jsonl"), folder.path().join("votes.svg"));
    let (tasks, out, plot) = (tasks.to_str().unwrap(), out.to_str().unwrap(), plot.to_str().unwrap());
    let args = ["eval", tasks, "--samples", "3", "-n", "300", "--budgets", "8", "--early-stop", "beta:0.7", "--json"];
    let with_files = [&args[..], &["--out", out, "--plot", plot]].concat();

    let whole = r1(&with_files);
    let figures = json(&whole);
    assert!(String::from_utf8_lossy(&whole.stderr).contains("samples: 10/10 tasks"), "progress is on standard error");
    assert_eq!((&figures["n"], &figures["k"]), (&10.into(), &3.into()));
    let (pass, consensus) = (figures["pass@1"].as_f64().unwrap(), figures["cons@k"].as_f64().unwrap());
    assert!(pass > 0.7 && pass <= 0.9 && consensus > 0.7 && consensus <= 0.9, "{figures}");
    assert!(figures["mean_thought"].as_f64().unwrap() > 10.0);
    let counts = |groups: &Value| groups.as_object().unwrap().values().map(|g| g["n"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((counts(&figures["by_kind"]), counts(&figures["by_group"])), (10, 10));
    assert_eq!(figures["by_group"]["trap"]["pass@1"], 0.0);
    assert_eq!(figures["by_kind"]["exact"]["n"], 1);
    assert_eq!(figures["votes"][2]["accuracy"], figures["cons@k"]);
    let early = &figures["early_stop"][0];
    assert!(early["share"].as_f64().unwrap() < 0.5 && early["samples"].as_f64().unwrap() < 2.0, "{early}");
    let budget = &figures["budgets"][0];
    assert_eq!(budget["budget"], 8);
    assert!(budget["accuracy"].as_f64().unwrap() < pass && budget["mean_thought"].as_f64().unwrap() <= 8.0, "{budget}");
    assert!(std::fs::read_to_string(plot).unwrap().contains("Accuracy against thinking budget"));

    // One line a task and pass; each with all of its samples.
    let lines = std::fs::read_to_string(out).unwrap();
    assert_eq!(lines.lines().count(), 30);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["samples"].as_array().unwrap().len(), 3);

    // Killed after four tasks and a half.
    let cut = lines.match_indices('\n').nth(3).unwrap().0 + 30;
    std::fs::write(out, &lines[..cut]).unwrap();
    assert_eq!(json(&r1(&with_files)), figures);
    assert_eq!(std::fs::read_to_string(out).unwrap(), lines, "the rest came out the same");
    // Nothing is left to do, and the figures come from the file alone.
    let edited = lines.replace("\"correct\":true", "\"correct\":false");
    std::fs::write(out, edited).unwrap();
    assert_eq!(json(&r1(&with_files))["pass@1"], 0.0);
    // Other settings share the file and start anew.
    let other = json(&r1(&["eval", tasks, "--samples", "1", "-n", "300", "--limit", "2", "--out", out, "--json"]));
    assert_eq!((&other["n"], &other["pass@1"]), (&2.into(), &1.0.into()));
}

#[test]
fn bad_task_files_are_refused_with_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.jsonl");
    let good = r#"{"prompt": "2+2?", "answer": "4"}"#;
    for (text, what) in [
        (format!("{good}\n{{\"prompt\": \"p\"}}\n"), "tasks.jsonl:2: missing field `answer`"),
        ("\n".into(), "no tasks"),
        (format!("{good}\n\n{{\"prompt\": \"p\", \"answer\": \"1\", \"kind\": \"essay\"}}"), "tasks.jsonl:3: "),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = r1(&["eval", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(what) && said.lines().count() == 1, "{said}");
    }
    let absent = r1(&["eval", folder.path().join("absent").to_str().unwrap()]);
    assert_eq!(absent.status.code(), Some(1));
}

#[test]
fn a_vote_prints_the_answer_and_its_tally() {
    let run =
        ["run", "Find the product of 37 and 24.", "--votes", "16", "--kind", "integer", "--early-stop", "beta:0.95"];
    let text = r1(&run);
    assert_eq!(String::from_utf8_lossy(&text.stdout), "888\n");
    let tally = String::from_utf8_lossy(&text.stderr).into_owned();
    assert!(tally.starts_with("r1: 4 of 4 votes (up to 16 asked for)") && tally.lines().count() == 1, "{tally}");

    let lines: Vec<Value> = String::from_utf8(r1(&[&run[..], &["--json"]].concat()).stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["sample", "sample", "sample", "sample", "thought", "answer", "vote", "usage", "done"]);
    let vote = &lines[6];
    assert_eq!((&vote["answer"], &vote["votes"], &vote["samples"]), (&"888".into(), &4.into(), &16.into()));
    assert!(vote["saved"].as_u64().unwrap() > vote["tokens"].as_u64().unwrap());
    let usage = &lines[7];
    let sum: u64 = ["reasoning", "tag", "forced", "answer"].iter().map(|key| usage[key].as_u64().unwrap()).sum();
    assert_eq!(vote["tokens"], sum);
    assert_eq!((&lines[8]["finish"], &lines[8]["close"]), (&"stop".into(), &"natural".into()));
    assert_eq!(r1(&["run", "Hi", "--early-stop", "never"]).status.code(), Some(2), "a rule needs a vote");
    assert_eq!(r1(&["run", "Hi", "--votes", "4", "--early-stop", "soon"]).status.code(), Some(2));
}
