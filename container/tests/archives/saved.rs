//! Saves and restores, as the Sandbox object asks for them.

use std::io::{BufRead as _, Read as _};

use reqwest::{Response, StatusCode};
use sandbox_protocol::snapshot::{
    Contents, IndexEntry, LAST_PART_HEADER, PART_BYTES, RESTORED_HEADER, RestoreQuery, Restored, SaveRequest,
    SaveStarted, part_url, save_url,
};
use sandbox_protocol::{FilePath, FileRoots, sandboxd};

use super::support::Sandboxd;

/// An archive that was fetched, and its contents.
#[derive(Debug, Clone)]
pub struct Saved {
    pub archive: Vec<u8>,
    pub contents: Contents,
}

impl Saved {
    /// The tar.
    pub fn tar(&self) -> Vec<u8> {
        zstd::decode_all(self.archive.as_slice()).unwrap()
    }

    /// The lines of the index, read from the archive.
    pub fn index(&self) -> Vec<IndexEntry> {
        let start = self.contents.index_offset as usize;
        let frame = &self.archive[start..start + self.contents.index_length as usize];
        let lines = zstd::decode_all(&frame[8..]).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect()
    }

    /// The content of the file of an index entry, read from the frames that it names.
    pub fn content(&self, entry: &IndexEntry) -> Vec<u8> {
        let IndexEntry(_, _, _, size, _, frame, offset, _) = entry;
        let mut frames = zstd::Decoder::with_buffer(&self.archive[*frame as usize..]).unwrap();
        std::io::copy(&mut frames.by_ref().take(*offset), &mut std::io::sink()).unwrap();
        let mut content = Vec::new();
        frames.take(*size).read_to_end(&mut content).unwrap();
        content
    }
}

/// A request to save the workspace.
pub fn request() -> SaveRequest {
    SaveRequest {
        dir: "/workspace".into(),
        ..SaveRequest::default()
    }
}

/// The path and query of a restore of `dir`.
pub fn restore_url(dir: FilePath, contents: &Contents, discard: bool) -> String {
    sandboxd::restore_url(&RestoreQuery {
        dir,
        sha256: contents.sha256.clone(),
        files: contents.files,
        discard,
    })
}

pub fn directory(path: &str) -> FilePath {
    FilePath::parse("path", path, &FileRoots::default()).unwrap()
}

impl Sandboxd {
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(self.url(path)).body(body).send().await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> StatusCode {
        self.client.delete(self.url(path)).send().await.unwrap().status()
    }

    /// Begins a save; `None`: nothing has changed.
    pub async fn begin(&self, request: &SaveRequest) -> Option<String> {
        let response = self
            .post(sandboxd::SAVE, serde_json::to_vec(request).unwrap())
            .await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        let started: SaveStarted = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        started.save
    }

    /// A part of a save, and whether it is the last one.
    pub async fn part(&self, save: &str, number: u32) -> (Vec<u8>, bool) {
        let response = self.get(&part_url(save, number)).await;
        assert_eq!(response.status(), 200, "part {number}");
        let is_last = response.headers().contains_key(LAST_PART_HEADER);
        let length = response.content_length();
        let bytes = response.bytes().await.unwrap().to_vec();
        assert_eq!(length, Some(bytes.len() as u64));
        assert!(is_last || bytes.len() as u64 == PART_BYTES, "part {number}");
        (bytes, is_last)
    }

    /// Fetches the archive of a save, and ends it.
    pub async fn fetch(&self, save: &str) -> Saved {
        let mut archive = Vec::new();
        for number in 1.. {
            let (bytes, is_last) = self.part(save, number).await;
            archive.extend(bytes);
            if is_last {
                break;
            }
        }
        let contents = self.get(&save_url(save, "/contents")).await;
        assert_eq!(contents.status(), 200);
        let contents: Contents = serde_json::from_slice(&contents.bytes().await.unwrap()).unwrap();
        assert_eq!(contents.archive_bytes, archive.len() as u64);
        assert_eq!(self.delete(&save_url(save, "")).await, 204);
        Saved { archive, contents }
    }

    /// Saves what must have changed.
    pub async fn save(&self, request: &SaveRequest) -> Saved {
        let save = self.begin(request).await.unwrap();
        self.fetch(&save).await
    }

    /// Sends an archive as that of a snapshot with these contents.
    pub async fn send_restore(
        &self,
        dir: &str,
        archive: impl Into<reqwest::Body>,
        contents: &Contents,
    ) -> Response {
        self.send_restore_with(dir, archive, contents, false).await
    }

    pub async fn send_restore_with(
        &self,
        dir: &str,
        archive: impl Into<reqwest::Body>,
        contents: &Contents,
        discard: bool,
    ) -> Response {
        let url = restore_url(directory(dir), contents, discard);
        let response = self.post(&url, archive).await;
        assert!(!response.headers().contains_key(RESTORED_HEADER));
        response
    }

    /// Restores a directory, which must succeed; returns its version.
    pub async fn restore(&self, dir: &str, saved: &Saved) -> String {
        let response = self
            .send_restore(dir, saved.archive.clone(), &saved.contents)
            .await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, 200, "{text}");
        let restored: Restored = serde_json::from_str(&text).unwrap();
        restored.version
    }
}
