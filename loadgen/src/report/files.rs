//! The files that a run writes beside its result.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;

use super::timeline::Timeline;
use super::{Report, hlog, html};
use crate::settings::Settings;

/// What is to be written, and where.
pub struct Files {
    html: Option<PathBuf>,
    hlog: Option<PathBuf>,
}

impl Files {
    /// Finds out whether the files can be written, before a long run ends in vain. What is in them stays.
    ///
    /// # Errors
    /// One cannot.
    pub fn check(settings: &Settings) -> anyhow::Result<Files> {
        let (html, hlog) = (&settings.html, &settings.hlog);
        for (option, path) in [("--html", html), ("--hlog", hlog)] {
            if let Some(path) = path {
                let opened = OpenOptions::new().append(true).create(true).open(path);
                opened.with_context(|| {
                    let path = path.display();
                    format!("{option} {path}: cannot write there; give a file in a folder that exists and is yours")
                })?;
            }
        }
        Ok(Files {
            html: html.clone(),
            hlog: hlog.clone(),
        })
    }

    /// Writes them.
    ///
    /// # Errors
    /// The disk is full, or a file can no longer be written.
    pub fn write(
        &self,
        report: &Report,
        timeline: &Timeline,
        started_at: SystemTime,
    ) -> anyhow::Result<()> {
        if let Some(path) = &self.html {
            write(path, |file| {
                Ok(file.write_all(html::page(report).as_bytes())?)
            })?;
        }
        if let Some(path) = &self.hlog {
            write(path, |file| hlog::write(file, report, timeline, started_at))?;
        }
        Ok(())
    }
}

fn write(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let written = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        content(&mut file)?;
        Ok(file.flush()?)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}
