//! One request at a time: what every call costs.

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{
    BASH, EXEC, EXEC_ABOVE, FIRST_BYTE, HEALTH, RUNNING, SESSION, SESSION_ABOVE, SESSION_BASH,
    SESSION_BASH_ABOVE,
};
use crate::series::{Miss, Sample, Series};
use crate::side::Side;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 10] = [
    &HEALTH,
    &RUNNING,
    &EXEC,
    &EXEC_ABOVE,
    &FIRST_BYTE,
    &SESSION,
    &SESSION_ABOVE,
    &BASH,
    &SESSION_BASH,
    &SESSION_BASH_ABOVE,
];

/// A script that does nothing, so that the time is that of the shell, and in a session of keeping
/// its state.
const NOTHING: [&str; 3] = ["bash", "-c", ":"];

/// Measures each kind of request once a round, so that all of them see the same machine.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let [health, running, exec, first_byte, session, bash, session_bash] =
        in_turns(&bench.sides, bench.rounds(500), async |side: &Side| {
            let plain = side.exec(&side.sandbox);
            [
                side.get("/health").await,
                side.get(&format!("/v1/sandbox/{}/running", side.sandbox)).await,
                plain.time(&["true"]).await,
                first_byte(side).await,
                in_session(side, &["true"]).await,
                plain.time(&NOTHING).await,
                in_session(side, &NOTHING).await,
            ]
        })
        .await;
    bench.add(&HEALTH, health.clone());
    bench.add(&RUNNING, running);
    bench.add(&EXEC, exec.clone());
    bench.add_beside(&EXEC_ABOVE, (&exec, &health), Series::above);
    bench.add(&FIRST_BYTE, first_byte);
    bench.add(&SESSION, session.clone());
    bench.add_beside(&SESSION_ABOVE, (&session, &exec), Series::above);
    bench.add(&BASH, bash.clone());
    bench.add(&SESSION_BASH, session_bash.clone());
    bench.add_beside(&SESSION_BASH_ABOVE, (&session_bash, &bash), Series::above);
}

async fn first_byte(side: &Side) -> Sample {
    let ran = side.exec(&side.sandbox).run(&["echo", "x"]).await?;
    ran.first_byte.ok_or(Miss::Failed("no output".into()))
}

async fn in_session(side: &Side, argv: &[&str]) -> Sample {
    side.exec_in_session()?.time(argv).await
}
