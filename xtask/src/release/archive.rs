//! The archive: the binary with its completions, its manual, its licenses, and the sums to check it by. The same files
//! give the same bytes wherever and whenever they are packed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sh::{self, Cmd};

/// The file of sums, as `sha256sum` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";

/// What lies beside the binary as it is in the tree.
const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The shells that get completions, with the name under which each looks for them.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "webnn-pool.bash"),
    ("zsh", "_webnn-pool"),
    ("fish", "webnn-pool.fish"),
    ("powershell", "webnn-pool.ps1"),
    ("elvish", "webnn-pool.elv"),
];

/// How hard the packer tries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Packing {
    /// For a download.
    Small,
    /// For a test.
    Fast,
}

/// A folder with everything that goes into an archive.
#[derive(Debug)]
pub(super) struct Contents {
    /// Where the folder lies.
    stage: PathBuf,
    /// Its name, which is also that of the archive.
    name: String,
}

impl Contents {
    /// Has the binary write its completions and its manual, and puts all together below `out`.
    pub(super) fn collect(binary: &Path, name: &str, out: &Path) -> Result<Self> {
        let contents = Self { stage: out.join("stage"), name: name.to_owned() };
        let folder = contents.stage.join(name);
        if contents.stage.exists() {
            std::fs::remove_dir_all(&contents.stage)
                .with_context(|| format!("cannot empty {}", contents.stage.display()))?;
        }
        let completions = folder.join("completions");
        std::fs::create_dir_all(&completions)
            .with_context(|| format!("cannot make {}", completions.display()))?;
        let copy = |from: &Path, to: &Path| {
            std::fs::copy(from, to)
                .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
        };
        copy(binary, &folder.join("webnn-pool"))?;
        for text in TEXTS {
            copy(&sh::root().join(text), &folder.join(text))?;
        }
        for (shell, file) in SHELLS {
            let script = Cmd::new(binary).args(["completions", shell]).read()?;
            let path = completions.join(file);
            std::fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Cmd::new(binary).arg("man").arg(folder.join("man/man1")).run()?;
        Ok(contents)
    }
}

/// An archive with its sums.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) file: PathBuf,
    pub(super) sums: PathBuf,
    /// The folder that it unpacks to.
    name: String,
}

impl Archive {
    /// Where archive and sums lie.
    pub(super) fn folder(&self) -> &Path {
        self.sums.parent().unwrap_or(&self.sums)
    }
}

/// Packs with names in order, one time, no owner, and neither name nor time in the compressed stream.
pub(super) fn write(contents: &Contents, out: &Path, epoch: u64, packing: Packing) -> Result<Archive> {
    let level = match packing {
        Packing::Small => "9",
        Packing::Fast => "1",
    };
    let file = out.join(format!("{}.tar.gz", contents.name));
    let tar = Cmd::new("tar")
        .args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{epoch}")])
        .arg(format!("--use-compress-program=gzip --no-name -{level}"))
        .arg("--file")
        .arg(&file)
        .arg("--directory")
        .arg(&contents.stage)
        .arg(&contents.name);
    tar.run().context("GNU tar and gzip are needed to pack a release")?;
    let sums = out.join(SUMS);
    let sum = Cmd::new("sha256sum").arg(format!("{}.tar.gz", contents.name)).dir(out).read()?;
    std::fs::write(&sums, sum).with_context(|| format!("cannot write {}", sums.display()))?;
    std::fs::remove_dir_all(&contents.stage)
        .with_context(|| format!("cannot remove {}", contents.stage.display()))?;
    Ok(Archive { file, sums, name: contents.name.clone() })
}

/// Unpacks an archive and asks what is in it: the program for its version, each page and completion for being there.
pub(super) fn try_out(archive: &Archive, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    Cmd::new("tar").args(["--extract", "--file"]).arg(&archive.file).arg("--directory").arg(to).run()?;
    let folder = to.join(&archive.name);
    let told = Cmd::new(folder.join("webnn-pool")).arg("--version").read()?;
    if !told.starts_with("webnn-pool ") {
        bail!("the program in the archive does not tell its version, but {told:?}");
    }
    let scripts = SHELLS.iter().map(|(_, file)| format!("completions/{file}"));
    let files = scripts.chain(TEXTS.map(str::to_owned)).chain(["man/man1/webnn-pool.1".to_owned()]);
    for file in files {
        let path = folder.join(&file);
        if !path.metadata().is_ok_and(|meta| meta.len() > 0) {
            bail!("{file} is missing in the archive, or empty");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two folders with the same files, made in another order and at other times, give the same bytes.
    #[test]
    fn the_same_files_give_the_same_archive() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut sums = Vec::new();
        for (place, names) in [("a", ["x", "y"]), ("b", ["y", "x"])] {
            let out = dir.path().join(place);
            let contents = Contents { stage: out.join("stage"), name: "thing".to_owned() };
            let folder = contents.stage.join("thing");
            std::fs::create_dir_all(&folder).expect("a folder");
            for name in names {
                std::fs::write(folder.join(name), name).expect("a file");
            }
            let time = if place == "a" { "200001010000" } else { "201001010000" };
            Cmd::new("touch").args(["-t", time]).arg(folder.join("x")).run().expect("it is touched");
            let archive = write(&contents, &out, 1_700_000_000, Packing::Fast).expect("it is packed");
            sums.push(std::fs::read_to_string(archive.sums).expect("sums"));
        }
        assert_eq!(sums[0], sums[1]);
        assert!(sums[0].ends_with("  thing.tar.gz\n"), "{}", sums[0]);
    }
}
