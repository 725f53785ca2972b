//! The recipe for ssh: its examples as they are on their page, against a real sshd in the sandbox.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sandbar_tests::command_line;
use sandbar_tests::docker::image_of_the_project;
use sandbar_tests::{Bridge, Client};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::container::on_containers;
use crate::doc_examples::blocks;

const PAGE: &str = "docs/recipes/ssh.md";

/// A laptop: a directory with the files of the recipe.
struct Laptop {
    directory: PathBuf,
    bridge: Bridge,
    id: String,
    user: String,
}

impl Laptop {
    /// A command with the environment of the recipe.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.directory)
            .env("PATH", command_line::search_path())
            .env("SANDBOX_URL", &self.bridge.url)
            .env("SANDBOX_API_KEY", &self.bridge.key)
            .kill_on_drop(true);
        command
    }

    /// Runs a program of OpenSSH with the entry of the page's configuration file.
    async fn openssh(&self, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = self
            .command(program)
            .args(["-F", "config"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(program);
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let written = tokio::spawn(async move { stdin.write_all(&input).await });
        let output = child.wait_with_output().await.expect("its end");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
        written.await.unwrap().unwrap();
        output.stdout
    }
}

/// Does what the page says. `None`, with a message, where sshd cannot run: as root, it needs a right
/// that commands of the local runtime do not have.
async fn follow_the_page() -> Option<Laptop> {
    let (bridge, user) = if on_containers() {
        let install = "RUN apt-get update && apt-get install -y --no-install-recommends openssh-server";
        let image = format!("FROM {}\n{install}\n", image_of_the_project());
        (Bridge::start_image(&image, &[]), "sandbox".to_owned())
    } else if Path::new("/usr/sbin/sshd").is_file() && !rustix::process::geteuid().is_root() {
        (
            Bridge::start(&[]),
            std::env::var("USER").expect("the user's name"),
        )
    } else {
        eprintln!("skipped: there is no sshd here, or the tests run as root");
        return None;
    };
    let directory = std::env::temp_dir().join(format!("sandbar-ssh-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut laptop = Laptop {
        directory,
        bridge,
        id: String::new(),
        user,
    };
    let block = |language: &str, part: &str| {
        let mut blocks = blocks(PAGE).into_iter();
        let found = blocks.find(|block| block.language == language && block.text.contains(part));
        found.expect("an example").text
    };
    let script = format!("{}\necho; echo \"$id\"", block("sh", "sshd"));
    let output = laptop
        .command("bash")
        .args(["-eu", "-o", "pipefail", "-c", &script])
        .output();
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains(r#"{"state":"ready"}"#), "{text}");
    laptop.id = text.lines().last().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(laptop.directory.join(name), text).unwrap();
    let config = block("text", "ProxyCommand")
        .replace("~/.ssh", &laptop.directory.display().to_string())
        .replace("User sandbox", &format!("User {}", laptop.user))
        .replace(" ID ", &format!(" {} ", laptop.id));
    write(
        "config",
        &format!(
            "{config}  UserKnownHostsFile {}/known\n",
            laptop.directory.display()
        ),
    );
    Some(laptop)
}

#[tokio::test]
async fn ssh_scp_and_forwarding_work_as_the_recipe_says() {
    let Some(laptop) = follow_the_page().await else {
        return;
    };
    let ran = laptop
        .openssh("ssh", &["sandbox", "echo $((6 * 7)); pwd; exit 0"], b"")
        .await;
    assert!(ran.starts_with(b"42\n/"), "{}", String::from_utf8_lossy(&ran));
    let mut large: Vec<u8> = (0..8_000_000_u32).flat_map(u32::to_ne_bytes).collect();
    large.truncate(30_000_000);
    let back = laptop.openssh("ssh", &["sandbox", "cat"], &large).await;
    assert!(back == large, "{} bytes", back.len());
    std::fs::write(laptop.directory.join("file"), &large).unwrap();
    laptop
        .openssh("scp", &["-q", "file", "sandbox:/workspace/copied"], b"")
        .await;
    let sandbox = Client::new(&laptop.bridge).sandbox(&laptop.id);
    assert_eq!(sandbox.sh("stat -c %s copied").await.text(), "30000000\n");
    let terminal = laptop
        .openssh("ssh", &["-tt", "sandbox", "test -t 0 && echo a terminal"], b"")
        .await;
    assert_eq!(String::from_utf8_lossy(&terminal).trim(), "a terminal");
    // A port of the sandbox, forwarded: sshd's own.
    let greeting = laptop
        .openssh("ssh", &["-W", "localhost:2222", "sandbox"], b"SSH-2.0-test\r\n")
        .await;
    assert!(
        greeting.starts_with(b"SSH-2.0-"),
        "{}",
        String::from_utf8_lossy(&greeting)
    );
    // Nobody gets in without the key.
    let stranger = ["-F", "config", "-o", "PubkeyAuthentication=no", "sandbox", "true"];
    let refused = laptop
        .command("ssh")
        .args(stranger)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("Permission denied"),
        "{errors}"
    );
    sandbox.destroy().await;
    std::fs::remove_dir_all(&laptop.directory).unwrap();
}
