//! The life of a sandbox without a warm pool: created, used, destroyed, used again under the same
//! id.

use std::time::Instant;

use crate::bench::Bench;
use crate::line::Line;
use crate::lines::{COLD, DELETE, RESTART};
use crate::series::{Miss, Sample};
use crate::side::Side;
use crate::time::ms_since;
use crate::turns::in_turns;

/// The lines of this module.
pub const LINES: [&Line; 3] = [&COLD, &DELETE, &RESTART];

/// Measures one life a round.
pub async fn measure(bench: &mut Bench) {
    if !bench.wants(&LINES) {
        return;
    }
    let [cold, delete, restart] = in_turns(&bench.sides, bench.rounds(30), async |side: &Side| {
        let (id, cold) = match create(side).await {
            Ok(created) => created,
            Err(miss) => return [Err(miss.clone()), Err(miss.clone()), Err(miss)],
        };
        let delete = delete(side, &id).await;
        let restart = side.exec(&id).time(&["true"]).await;
        if let Err(miss) = self::delete(side, &id).await {
            eprintln!("DELETE of {id}: {miss}");
        }
        [Ok(cold), delete, restart]
    })
    .await;
    bench.add(&COLD, cold);
    bench.add(&DELETE, delete);
    bench.add(&RESTART, restart);
}

/// A new sandbox, and the milliseconds until its first command has ended.
pub async fn create(side: &Side) -> Result<(String, f64), Miss> {
    let started = Instant::now();
    let id = side.create().await?;
    side.exec(&id).run(&["true"]).await?;
    Ok((id, ms_since(started)))
}

async fn delete(side: &Side, id: &str) -> Sample {
    let started = Instant::now();
    side.destroy(id).await?;
    Ok(ms_since(started))
}
