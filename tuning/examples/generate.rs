//! Writes the files that are made from the table of settings into the checkout.

use std::path::Path;
use std::{fs, io};

use ringmain_tuning::generate;

fn main() -> io::Result<()> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in generate::files(&checkout)? {
        fs::write(checkout.join(path), text)?;
    }
    Ok(())
}
