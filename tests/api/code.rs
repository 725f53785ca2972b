//! Python in contexts: what a client gets of it.

use reqwest::Method;
use sandbar_tests::Sandbox;
use sandbar_tests::process::ok;
use serde_json::{Value, json};

use crate::sandbox;

/// The code of a figure with a line.
const FIGURE: &str = "import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4], label='a'); plt.title('t')";

async fn output(sandbox: &Sandbox, code: &str) -> String {
    let run = sandbox.python(code).await;
    run["output"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_value_of_the_last_expression_is_the_result() {
    let sandbox = sandbox().await;
    let run = sandbox
        .python("print('é'); import sys; print('e', file=sys.stderr)\n1 + 1")
        .await;
    assert_eq!(run["success"], true, "{run}");
    assert_eq!(run["logs"], json!({ "stdout": ["é\n"], "stderr": ["e\n"] }));
    let result = json!({ "isMain": true, "executionCount": 1, "text/plain": "2", "text": "2" });
    assert_eq!(run["results"], json!([result]));
    assert!(run["output"].as_str().unwrap().ends_with("2\n"));
    assert_eq!(
        (&run["executionCount"], &run["contextId"]),
        (&json!(1), &json!("default-python"))
    );
    assert!(run["durationMs"].is_u64() && run.get("exception").is_none() && run.get("timedOut").is_none());
    // The variables stay, and the run can be found as a process.
    assert_eq!(sandbox.python("x = 5").await["results"], json!([]));
    let run = sandbox.python("x").await;
    assert_eq!(
        (&run["results"][0]["text"], &run["executionCount"]),
        (&json!("5"), &json!(3))
    );
    let process = sandbox.process(run["processId"].as_str().unwrap()).show().await;
    assert_eq!(
        (&process["state"], &process["argv"]),
        (&json!("exited"), &json!(["run-code", "default-python", "x"]))
    );
    assert_eq!(process["exit"], json!({ "exit_code": 0, "execution_count": 3 }));
    // So can the kernel.
    let context = &sandbox.contexts().await[0];
    assert_eq!(
        (&context["language"], &context["executionCount"]),
        (&json!("python"), &json!(3))
    );
    let kernel = sandbox
        .process(context["processId"].as_str().unwrap())
        .show()
        .await;
    assert_eq!(kernel["state"], "running");
    let response = sandbox.request(Method::GET, "/language").send().await.unwrap();
    let languages = ok(response).await;
    let python = languages["languages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["language"] == "python");
    assert!(python.unwrap()["version"].as_str().unwrap().starts_with("3."));
    sandbox.destroy().await;
}

#[tokio::test]
async fn everything_that_writes_is_heard() {
    let sandbox = sandbox().await;
    for (code, expected) in [
        ("import os; os.system('echo system')", "system\n0\n"),
        (
            "import ctypes; ctypes.CDLL(None).printf(b'printf\\n');",
            "printf\n",
        ),
        ("import subprocess; subprocess.run(['echo', 'child']);", "child\n"),
        (
            "import subprocess, sys; subprocess.run(['echo', 'given'], stdout=sys.stdout);",
            "given\n",
        ),
        (
            "import subprocess; subprocess.run('echo error >&2', shell=True);",
            "error\n",
        ),
        ("%%bash\necho magic", "magic\n"),
        ("print('é' * 3, end='')", "ééé"),
        // Python 3.12 warns of threads, which every kernel has.
        (
            "import os, warnings\nwarnings.simplefilter('ignore')\npid = os.fork()\nif pid == 0:\n    print('fork'); os._exit(0)\nos.waitpid(pid, 0); None",
            "fork\n",
        ),
        (
            "import asyncio; await asyncio.sleep(0.01); 'awaited'",
            "'awaited'\n",
        ),
    ] {
        assert_eq!(output(&sandbox, code).await, expected, "{code}");
    }
    assert_eq!(output(&sandbox, "!echo shell").await.trim(), "shell");
    assert!(output(&sandbox, "%timeit -n1 -r1 1+1").await.contains("per loop"));
    // A thread that prints when its run has ended belongs to the run that is then under way.
    let code = "import os, threading, time\n\
                def late():\n    while not os.path.exists('/tmp/now'): time.sleep(0.01)\n    print('late')\n\
                thread = threading.Thread(target=late); thread.start()";
    assert_eq!(output(&sandbox, code).await, "");
    assert_eq!(
        output(&sandbox, "open('/tmp/now', 'w').close(); thread.join()").await,
        "late\n"
    );
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_value_with_several_forms_is_one_result() {
    let sandbox = sandbox().await;
    let run = sandbox
        .python("import pandas as pd; pd.DataFrame({'a': [1, 2]})")
        .await;
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{run}");
    for (name, media_type, part) in [("html", "text/html", "<table"), ("text", "text/plain", "a")] {
        assert!(results[0][name].as_str().unwrap().contains(part));
        assert_eq!(results[0][name], results[0][media_type]);
    }
    let code = "from IPython.display import display, HTML, JSON, Markdown\n\
                h = display(HTML('<b>1</b>'), display_id='d'); h.update(HTML('<b>2</b>'))\n\
                display(JSON({'a': 1}), Markdown('# m'))";
    let run = sandbox.python(code).await;
    let results = run["results"].as_array().unwrap();
    assert_eq!(
        (&results[0]["html"], &results[0]["displayId"]),
        (&json!("<b>1</b>"), &json!("d"))
    );
    assert_eq!(
        (&results[1]["html"], &results[1]["isUpdate"]),
        (&json!("<b>2</b>"), &json!(true))
    );
    assert_eq!(
        (&results[2]["json"], &results[3]["markdown"]),
        (&json!({ "a": 1 }), &json!("# m"))
    );
    assert!(results.iter().all(|result| result["isMain"] == false));
    sandbox.destroy().await;
}

#[tokio::test]
async fn figures_are_pictures_and_charts() {
    let sandbox = sandbox().await;
    let code = format!("{FIGURE}\nplt.figure(); plt.bar(['x', 'y'], [1, 2]);");
    let run = sandbox.python(&code).await;
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{run}");
    for result in results {
        // The first bytes of every PNG.
        assert!(result["png"].as_str().unwrap().starts_with("iVBORw0KGgo"));
        assert_eq!(result["png"], result["image/png"]);
    }
    let chart = &results[0]["chart"];
    assert_eq!((&chart["type"], &chart["title"]), (&json!("line"), &json!("t")));
    let line = json!({ "label": "a", "points": [[1, 3], [2, 4]] });
    assert_eq!(chart["elements"], json!([line]));
    let bars = &results[1]["chart"];
    assert_eq!(bars["type"], "bar");
    let values: Vec<_> = bars["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| (&bar["label"], &bar["value"]))
        .collect();
    assert_eq!(values, [(&json!("x"), &json!(1)), (&json!("y"), &json!(2))]);
    for (code, kind) in [
        ("plt.pie([1, 3], labels=['p', 'q']);", "pie"),
        ("plt.scatter([1, 2], [3, 4]);", "scatter"),
        ("plt.hist([1, 1, 2, 3, 3, 3], bins=3);", "histogram"),
    ] {
        let run = sandbox.python(code).await;
        assert_eq!(run["results"][0]["chart"]["type"], kind, "{run}");
    }
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_large_image_has_a_url() {
    let sandbox = sandbox().await;
    let code = "import numpy as np, matplotlib.pyplot as plt\nplt.imshow(np.random.rand(300, 300));";
    let body = json!({ "code": code, "image_urls": true });
    let run = sandbox.run_code(&body).await;
    let result = &run["results"][0];
    assert!(
        result.get("png").is_none() && result.get("image/png").is_none(),
        "{result}"
    );
    let url = result["urls"]["image/png"].as_str().unwrap();
    let response = sandbox
        .request(Method::GET, &format!("/{url}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    let image = response.bytes().await.unwrap();
    assert!(
        image.starts_with(b"\x89PNG\r\n") && image.len() > 48 * 1024,
        "{}",
        image.len()
    );
    // By default, it is in the result, too.
    let run = sandbox.python(code).await;
    assert!(run["results"][0]["png"].as_str().unwrap().len() > 64 * 1024);
    assert!(run["results"][0]["urls"]["image/png"].is_string());
    sandbox.destroy().await;
}

#[tokio::test]
async fn an_exception_is_a_result() {
    let sandbox = sandbox().await;
    let run = sandbox
        .python("def inner():\n    return 1 / 0\ndef outer():\n    inner()\nprint('before')\nouter()")
        .await;
    assert_eq!(
        (&run["success"], &run["logs"]["stdout"]),
        (&json!(false), &json!(["before\n"]))
    );
    let exception = &run["exception"];
    assert_eq!(exception["name"], "ZeroDivisionError");
    assert_eq!(
        (&exception["message"], &exception["line"]),
        (&json!("division by zero"), &json!(2))
    );
    let lines = |name: &str| {
        serde_json::from_value::<Vec<String>>(exception[name].clone())
            .unwrap()
            .join("\n")
    };
    assert!(lines("traceback").contains("outer()") && !lines("traceback").contains('\u{1b}'));
    assert!(lines("tracebackAnsi").contains('\u{1b}'));
    assert!(
        run["output"]
            .as_str()
            .unwrap()
            .contains("ZeroDivisionError: division by zero")
    );
    for (code, name) in [
        ("x =", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("input('name? ')", "StdinNotImplementedError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ] {
        let run = sandbox.python(code).await;
        assert_eq!(
            (&run["success"], &run["exception"]["name"]),
            (&json!(false), &json!(name)),
            "{run}"
        );
    }
    assert_eq!(output(&sandbox, "'alive'").await, "'alive'\n");
    sandbox.destroy().await;
}

#[tokio::test]
async fn a_context_has_a_directory_and_variables_and_so_has_a_run() {
    let sandbox = sandbox().await;
    sandbox.sh("mkdir -p own other").await;
    let body = json!({ "cwd": "own", "env": { "A": "1", "B": "2" }, "id": "c.1" });
    let id = sandbox.context(&body).await;
    assert_eq!(id, "c.1");
    // Repeated, it creates nothing.
    assert_eq!(sandbox.context(&body).await, "c.1");
    let show = "import os; print(os.getcwd(), os.environ.get('A'), os.environ.get('B'), os.environ.get('C'))";
    let run = |more: Value| {
        let mut body = json!({ "code": show, "context": "c.1" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let sandbox = sandbox.clone();
        async move {
            sandbox.run_code(&body).await["output"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    assert_eq!(run(json!({})).await, "/workspace/own 1 2 None\n");
    let more = json!({ "cwd": "other", "env": { "A": "3", "C": "4" } });
    assert_eq!(run(more).await, "/workspace/other 3 2 4\n");
    assert_eq!(run(json!({})).await, "/workspace/own 1 2 None\n");
    assert_eq!(sandbox.contexts().await[0]["cwd"], "/workspace/own");
    sandbox.destroy().await;
}
