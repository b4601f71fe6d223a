//! Prints, as JSON, what each of the seven browsers' detection answers on this machine.

#![allow(clippy::print_stdout, reason = "an example talks on the terminal")]

use provision::{Home, detect_all};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = Home::locate()?;
    for (name, detection) in detect_all(&home) {
        println!("{name}: {}", serde_json::to_string_pretty(&detection)?);
    }
    Ok(())
}
