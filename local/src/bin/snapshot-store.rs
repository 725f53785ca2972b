//! `snapshot-store DIRECTORY`: a store of snapshots on this machine's disk, for `npm start` and
//! `npm run dev`. It prints one line of JSON, `{"url": …}`, and serves until a signal ends it.

use std::error::Error;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use sandbox_local::secret;
use sandbox_local::store::{Disk, router};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let directory = std::env::args_os().nth(1).ok_or("snapshot-store DIRECTORY")?;
    let disk = Disk::open(Path::new(&directory)).map_err(|e| format!("{}: {e}", directory.display()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let secret = secret()?;
    let url = format!("http://{}/{secret}", listener.local_addr()?);
    writeln!(std::io::stdout(), "{}", json!({ "url": url }))?;
    axum::serve(listener, router(disk, &secret)).await?;
    Ok(())
}
