//! Packs the facts files: as they are they would be a tenth of the server.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() -> io::Result<()> {
    let folder = Path::new("../../facts");
    println!("cargo:rerun-if-changed={}", folder.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut list = String::from("&[\n");
    paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    for path in paths {
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()).filter(|id| *id != "index") else { continue };
        println!("cargo:rerun-if-changed={}", path.display());
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&fs::read(&path)?)?;
        fs::write(out.join(id), packed.finish()?)?;
        writeln!(list, "    ({id:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{id}\"))),").map_err(io::Error::other)?;
    }
    fs::write(out.join("files.rs"), list + "]\n")
}
