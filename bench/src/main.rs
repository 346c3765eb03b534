//! Measures learned indexes against those of PostgreSQL, and reports what it found.

mod result;
mod server;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let server = server::Server::start()?;
    let version: String = server.connect()?.query_one("SELECT version()", &[])?.get(0);
    println!("{version}");
    Ok(())
}
