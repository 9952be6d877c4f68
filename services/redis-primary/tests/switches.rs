//! redis-primary before real servers and Sentinels, and what its clients see when the master goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection, RedisResult, Value};
use shop_redis_primary::{Config, run};
use shop_testkit::{RedisUser, Sentinels};

const FAILOVER: Duration = Duration::from_secs(30);

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running redis-primary, and the address of its clients.
fn start(sentinels: &Sentinels) -> String {
    let port = free_port();
    let text = format!(
        "{}\n[http]\nlisten = '127.0.0.1:0'\nadminListen = '127.0.0.1:0'\n[forward]\nlisten = \
         '127.0.0.1:{port}'\npatienceMilliseconds = 1000\nmaximumConnections = 8\n",
        sentinels.config_section(RedisUser::Order)
    );
    let config: Config = toml::from_str(&text).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(config)).unwrap();
    });
    let password = sentinels.password(RedisUser::Order);
    format!(
        "redis://{}:{password}@127.0.0.1:{port}/",
        RedisUser::Order.name()
    )
}

fn connect(url: &str) -> RedisResult<Connection> {
    let connection = Client::open(url)?.get_connection_with_timeout(Duration::from_secs(2))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(connection)
}

/// Connects anew until a write is acknowledged, and gives that connection.
fn writable(url: &str, key: &str) -> Connection {
    let began = Instant::now();
    loop {
        let outcome = connect(url).and_then(|mut connection| {
            connection.set::<_, _, ()>(key, "1")?;
            Ok(connection)
        });
        match outcome {
            Ok(connection) => return connection,
            Err(error) => assert!(began.elapsed() < FAILOVER, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn role(connection: &mut Connection) -> String {
    let answer: Vec<Value> = redis::cmd("ROLE").query(connection).unwrap();
    redis::from_redis_value(answer.into_iter().next().unwrap()).unwrap()
}

#[test]
fn connections_lead_to_the_master_and_after_a_switch_to_the_new_one() {
    let mut sentinels = Sentinels::start();
    let url = start(&sentinels);
    let mut before = writable(&url, "lock:before");
    assert_eq!(role(&mut before), "master");

    let master = sentinels.master().unwrap();
    sentinels.kill9(master);
    let closed: RedisResult<String> = before.get("lock:before");
    assert!(closed.is_err(), "the old master is gone: {closed:?}");

    let mut after = writable(&url, "lock:after");
    assert_eq!(role(&mut after), "master");
    assert_ne!(sentinels.wait_failover(master), master);
}

#[test]
fn a_master_that_hangs_is_left_and_its_connections_are_closed() {
    let mut sentinels = Sentinels::start();
    let url = start(&sentinels);
    let mut before = writable(&url, "lock:before");
    let master = sentinels.master().unwrap();
    sentinels.pause(master);
    let began = Instant::now();
    let closed: RedisResult<String> = before.get("lock:before");
    assert!(closed.is_err(), "{closed:?}");
    let mut after = writable(&url, "lock:after");
    assert_eq!(role(&mut after), "master", "after {:?}", began.elapsed());
    sentinels.resume(master);
}
