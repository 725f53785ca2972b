//! Code: a cell in a warm context beside the answer of the same kernel to `jupyter_client`, a new
//! context, and much output.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::line::{Line, Unit};
use crate::lines::{CODE_ABOVE, CODE_CONTEXT, CODE_KERNEL, CODE_OUTPUT, CODE_RUN};
use crate::series::{Miss, Sample, Series};
use crate::side::{Side, accepted, offered, send};
use crate::sse;
use crate::time::{mb_per_s, ms_since};
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 5] = [&CODE_RUN, &CODE_KERNEL, &CODE_ABOVE, &CODE_CONTEXT, &CODE_OUTPUT];

/// The cells of one sample.
const CELLS: usize = 50;

/// The bytes of output that are written.
const OUTPUT: usize = 100_000_000;

/// Starts a kernel of its own, and gives the median time of a cell in milliseconds.
const KERNEL: &str = r"
import statistics, subprocess, sys, tempfile, time
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file
folder = tempfile.mkdtemp()
file, _ = write_connection_file(folder + '/c.json', transport='ipc', ip=folder + '/k', key=b'bench')
kernel = subprocess.Popen([sys.executable, '-m', 'ipykernel_launcher', '-f', file])
client = BlockingKernelClient(connection_file=file)
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
times = []
for _ in range(CELLS):
    started = time.perf_counter()
    client.execute_interactive('1+1', output_hook=lambda message: None)
    times.append((time.perf_counter() - started) * 1000)
client.stop_channels()
kernel.kill()
statistics.median(times)
";

/// Measures code.
pub async fn measure(bench: &mut Bench) {
    if bench.wants(&[&CODE_RUN, &CODE_KERNEL, &CODE_ABOVE]) {
        let [run, kernel] = in_turns(&bench.sides, bench.rounds(5), async |side: &Side| {
            [cells(side).await, kernel(side).await]
        })
        .await;
        bench.add(&CODE_RUN, run.clone());
        bench.add(&CODE_KERNEL, kernel.clone());
        bench.add_beside(&CODE_ABOVE, (&run, &kernel), Series::above);
    }
    if bench.wants(&[&CODE_CONTEXT]) {
        let [context] = in_turns(&bench.sides, bench.rounds(10), async |side: &Side| {
            [context(side).await]
        })
        .await;
        bench.add(&CODE_CONTEXT, context);
    }
    if bench.wants(&[&CODE_OUTPUT]) {
        let [output] = in_turns(&bench.sides, bench.rounds(3), async |side: &Side| {
            [output(side).await]
        })
        .await;
        bench.add(&CODE_OUTPUT, output);
    }
}

/// Runs code, which must succeed.
async fn run(side: &Side, body: Value) -> Result<Value, Miss> {
    let request = side.request(&side.sandbox, Method::POST, "/run-code").json(&body);
    let response = offered(send(request).await?).await?;
    let result: Value = response.json().await.map_err(Miss::failed)?;
    match result["success"] == true {
        true => Ok(result),
        false => Err(Miss::Failed(result.to_string())),
    }
}

/// The median of the milliseconds of a cell.
async fn cells(side: &Side) -> Sample {
    let cell = json!({ "code": "1+1" });
    run(side, cell.clone()).await?;
    let mut times = Vec::new();
    for _ in 0..CELLS {
        let started = Instant::now();
        run(side, cell.clone()).await?;
        times.push(ms_since(started));
    }
    Series::from_samples(times)
        .median(Unit::Ms)
        .ok_or(Miss::NotOffered)
}

/// The same, of a kernel beside it that no `sandboxd` is the client of.
async fn kernel(side: &Side) -> Sample {
    let code = KERNEL.replace("CELLS", &CELLS.to_string());
    let result = run(side, json!({ "code": code })).await?;
    let text = result["results"][0]["text"].as_str().unwrap_or_default();
    text.parse().map_err(Miss::failed)
}

/// Milliseconds from the request for a context to the result of its first cell.
async fn context(side: &Side) -> Sample {
    let started = Instant::now();
    let request = side.request(&side.sandbox, Method::POST, "/context");
    let response = offered(send(request.json(&json!({}))).await?).await?;
    let context: Value = response.json().await.map_err(Miss::failed)?;
    let id = context["id"].as_str().unwrap_or_default().to_owned();
    run(side, json!({ "code": "1+1", "context": id })).await?;
    let took = ms_since(started);
    let end = side.request(&side.sandbox, Method::DELETE, &format!("/context/{id}"));
    let ended = send(end).await?;
    match ended.status().as_u16() {
        204 => Ok(took),
        status => Err(Miss::Failed(status.to_string())),
    }
}

/// The rate of output as a stream.
async fn output(side: &Side) -> Sample {
    let code =
        format!("import sys\nfor _ in range({OUTPUT} // 100000): sys.stdout.write('x' * 99999 + '\\n')");
    let request = side.request(&side.sandbox, Method::POST, "/run-code");
    let request = request
        .header("Accept", "text/event-stream")
        .json(&json!({ "code": code }));
    let started = Instant::now();
    let ran = sse::read(accepted(send(request).await?).await?, started).await?;
    Ok(mb_per_s(OUTPUT, Duration::from_secs_f64(ran.exit / 1e3)))
}
