//! The Redis client against real servers and Sentinels, and what they do when a master goes away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use redis::{Script, cmd, pipe};
use shop_common::config::{RedisConfig, parse};
use shop_common::redis::{Redis, RedisCallError};
use shop_common::server::Shutdown;
use shop_testkit::{RedisUser, Sentinels, eventually};

/// Failovers take about 3.2 s with the Sentinels' settings, on a machine that has time for them.
const FAILOVER: Duration = Duration::from_secs(30);

#[derive(serde::Deserialize)]
struct File {
    redis: RedisConfig,
}

fn config(sentinels: &Sentinels) -> RedisConfig {
    let section = sentinels.config_section(RedisUser::Order);
    let file: File = parse(Path::new("redis.toml"), &section).unwrap();
    file.redis
}

/// Runs a test on a runtime of its own: the servers are started outside of it.
fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(test)
}

async fn set(client: &Redis, key: &str) -> Result<(), RedisCallError> {
    client.query(cmd("SET").arg(key).arg("1")).await
}

async fn connected(client: &Redis) {
    tokio::time::timeout(FAILOVER, client.connected())
        .await
        .unwrap();
}

/// Writes until one is acknowledged, and asserts that no call took longer than it may.
async fn writable_again(client: &Redis, timeout: Duration) {
    eventually("a write that is acknowledged", FAILOVER, async || {
        let started = Instant::now();
        let outcome = set(client, "lock:again").await;
        // The bound is on waiting for Redis; a busy machine may add to it.
        let took = started.elapsed();
        assert!(
            took < timeout + Duration::from_millis(250),
            "a call took {took:?}"
        );
        outcome.map_err(|error| error.to_string())
    })
    .await;
}

#[test]
fn commands_pipelines_and_scripts_reach_the_master() {
    let servers = Sentinels::start();
    on_a_runtime(async {
        let client = Redis::start(&config(&servers), Shutdown::new());
        connected(&client).await;
        assert!(client.available());
        set(&client, "lock:a").await.unwrap();
        let (first, second): (String, Option<String>) = client
            .pipeline(pipe().cmd("GET").arg("lock:a").cmd("GET").arg("lock:b"))
            .await
            .unwrap();
        assert_eq!((first.as_str(), second), ("1", None));
        let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
        for (increment, sum) in [(2, 3), (2, 5)] {
            let outcome: i64 = client
                .script(script.key("lock:a").arg(increment))
                .await
                .unwrap();
            assert_eq!(outcome, sum);
        }
    });
}

#[test]
fn a_refusal_is_an_answer_and_does_not_open_the_breaker() {
    let servers = Sentinels::start();
    on_a_runtime(async {
        let client = Redis::start(&config(&servers), Shutdown::new());
        connected(&client).await;
        set(&client, "lock:text").await.unwrap();
        for _ in 0..20 {
            let refused = client
                .query::<i64>(cmd("LPUSH").arg("lock:text").arg("x"))
                .await;
            assert!(
                matches!(refused, Err(RedisCallError::Refused(_))),
                "{refused:?}"
            );
        }
        assert!(client.available());
    });
}

#[test]
fn without_redis_a_call_fails_at_once() {
    on_a_runtime(async {
        let text = "[redis]\nsentinels = ['127.0.0.1:1']\nmasterName = 'shop'\n";
        let file: File = parse(Path::new("redis.toml"), text).unwrap();
        let client = Redis::start(&file.redis, Shutdown::new());
        let started = Instant::now();
        for _ in 0..100 {
            let outcome = set(&client, "lock:a").await;
            assert!(
                matches!(outcome, Err(RedisCallError::Unavailable(_))),
                "{outcome:?}"
            );
        }
        assert!(
            // Waiting out the time-out of each would take 5 s.
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
        assert!(!client.available());
        let seen = eventually("the reason", FAILOVER, async || match client.check() {
            Err(reason) if reason.contains("127.0.0.1:1") => Ok(reason),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert!(seen.contains("failed to find the Redis master"), "{seen}");
    });
}

#[test]
fn a_killed_master_is_replaced_by_the_one_that_the_sentinels_elect() {
    let mut servers = Sentinels::start();
    let config = config(&servers);
    let old = servers.master().unwrap();
    on_a_runtime(async {
        let client = Redis::start(&config, Shutdown::new());
        connected(&client).await;
        set(&client, "lock:before").await.unwrap();
        servers.kill9(old);
        writable_again(&client, config.timeout()).await;
        let seen = client.check().unwrap();
        let new = servers.master().unwrap();
        assert_ne!(new, old);
        assert!(
            seen.ends_with(&servers.server_ports()[new].to_string()),
            "{seen}"
        );
    });
}

#[test]
fn a_master_that_hangs_opens_the_breaker_and_is_left_for_its_successor() {
    let mut servers = Sentinels::start();
    let config = config(&servers);
    let old = servers.master().unwrap();
    on_a_runtime(async {
        let client = Redis::start(&config, Shutdown::new());
        connected(&client).await;
        servers.pause(old);
        let mut timeouts = 0;
        let deadline = Instant::now() + FAILOVER;
        loop {
            match set(&client, "lock:hang").await {
                Err(RedisCallError::Timeout(_)) => timeouts += 1,
                Err(RedisCallError::Unavailable(_)) => break,
                other => panic!("{other:?}"),
            }
            assert!(
                Instant::now() < deadline,
                "the breaker did not open after {timeouts} timeouts"
            );
        }
        assert!((1..=5).contains(&timeouts), "{timeouts} calls waited");
        writable_again(&client, config.timeout()).await;
        servers.resume(old);
        // The old master comes back believing that it is one. Nobody may go back to it.
        for _ in 0..20 {
            set(&client, "lock:after").await.unwrap();
        }
        let old_port = servers.server_ports()[old].to_string();
        assert!(!client.check().unwrap().ends_with(&old_port));
    });
}

#[test]
fn a_dead_sentinel_is_passed_over() {
    let mut servers = Sentinels::start();
    servers.kill9_sentinel(0);
    on_a_runtime(async {
        let client = Redis::start(&config(&servers), Shutdown::new());
        connected(&client).await;
        set(&client, "lock:a").await.unwrap();
    });
}

#[test]
fn a_wrong_password_is_reported_and_not_shown() {
    let servers = Sentinels::start();
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "hunter2").unwrap();
    let config = RedisConfig {
        password_file: Some(shop_common::config::SecretFile::new(&wrong)),
        ..config(&servers)
    };
    on_a_runtime(async {
        let client = Redis::start(&config, Shutdown::new());
        let reason = eventually("the reason", FAILOVER, async || match client.check() {
            Err(reason) if reason.contains("at 127.0.0.1") => Ok(reason),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert!(!reason.contains("hunter2"), "{reason}");
    });
}
