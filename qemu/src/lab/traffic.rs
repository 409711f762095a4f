//! Commands, clients and servers on the hosts of a lab.

use super::*;

impl Lab {
    /// Runs a program in a host's namespace to its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn run<'a>(
        &self,
        host: &str,
        argv: impl IntoIterator<Item = &'a str>,
        limit: Duration,
    ) -> Result<Ended> {
        self.spawn(host, argv)?.wait(limit)
    }

    /// Starts a program in a host's namespace.
    ///
    /// # Errors
    /// When there is no such host or program.
    pub fn spawn<'a>(&self, host: &str, argv: impl IntoIterator<Item = &'a str>) -> Result<Process> {
        let netns = self.host(host)?.netns.name();
        Program::new(host, argv).netns(netns).spawn(&self.hub)
    }

    /// Starts a program in a host's namespace that runs as long as the lab, and waits until it said `ready`.
    ///
    /// # Errors
    /// When it does not.
    pub fn serve<'a>(
        &mut self,
        host: &str,
        argv: impl IntoIterator<Item = &'a str>,
        ready: &str,
    ) -> Result<()> {
        let server = self.spawn(host, argv)?;
        self.hub.until(&format!("`{ready}` of a server of {host}"), REQUEST_LIMIT, || {
            let said = format!("{}{}", server.stdout(), server.stderr());
            if said.contains(ready) { Ok(()) } else { Err(said) }
        })?;
        self.kept.push(server);
        Ok(())
    }

    /// Starts a program in a host's namespace that runs as long as the lab.
    ///
    /// # Errors
    /// When there is no such host or program.
    pub fn keep<'a>(&mut self, host: &str, argv: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let server = self.spawn(host, argv)?;
        self.kept.push(server);
        Ok(())
    }

    /// A server of UDP that answers each datagram with a name and the address that it came from.
    ///
    /// # Errors
    /// When it does not start.
    pub fn serve_names(&mut self, host: &str, address: &str, name: &str) -> Result<()> {
        let exe = own_executable()?;
        self.serve(host, [&*exe, helper::FLAG, "udp-name", address, name], "listening")
    }

    /// Sends so many datagrams of this text, each from a fresh port of `from` or all from one; gives the answers.
    ///
    /// # Errors
    /// When one is not answered.
    pub fn ask_names(
        &self,
        host: &str,
        from: Sender<'_>,
        address: &str,
        count: u32,
        text: &str,
    ) -> Result<Vec<String>> {
        let exe = own_executable()?;
        let (from, fresh) = match from {
            Sender::Fresh(from) => (from, "fresh"),
            Sender::Same(from) => (from, "same"),
        };
        let argv = [&*exe, helper::FLAG, "udp-names", from, fresh, address, &count.to_string(), text];
        let ended = Program::new(host, argv).netns(self.host(host)?.netns.name()).quiet().spawn(&self.hub)?;
        let ended = ended.wait(REQUEST_LIMIT)?;
        if !ended.status.success() {
            bail!("{address} from {from}: {}", ended.stderr.trim());
        }
        Ok(ended.stdout.lines().map(str::to_owned).collect())
    }

    /// One HTTP request from a host on a connection of its own; the body without its final newline.
    ///
    /// # Errors
    /// When no answer with a good status came.
    pub fn get(&self, host: &str, url: &str) -> Result<String> {
        let netns = self.host(host)?.netns.name();
        let argv = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "5", url];
        let ended = Program::new(host, argv).netns(netns).quiet().spawn(&self.hub)?.wait(REQUEST_LIMIT)?;
        if !ended.status.success() {
            bail!("{url}: {}", ended.stderr.trim());
        }
        Ok(ended.stdout.trim_end().to_owned())
    }

    /// As [`Lab::get`] so many times, counted by body.
    ///
    /// # Errors
    /// With the first request that fails.
    pub fn get_many(&self, host: &str, url: &str, requests: u32) -> Result<BTreeMap<String, u32>> {
        let mut answers = BTreeMap::new();
        for number in 1..=requests {
            let body = self.get(host, url).with_context(|| format!("request {number} of {requests}"))?;
            *answers.entry(body).or_default() += 1;
        }
        Ok(answers)
    }

    /// A client that asks an echo service every 10 ms for so many seconds. Comes back when it has its first answer.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn client_that_asks(&self, host: &str, address: &str, seconds: u32) -> Result<Process> {
        let exe = own_executable()?;
        let client = self.spawn(host, [&*exe, helper::FLAG, "udp-gap", address, &seconds.to_string()])?;
        self.hub.eventually("the client's first answer", self.scaled(ANSWER_LIMIT), || {
            if client.stdout().contains("it answers") { Ok(()) } else { Err("none".to_owned()) }
        })?;
        Ok(client)
    }

    /// A client that makes a new connection to a web server every 10 ms for so many seconds. Comes back when it has its first
    /// answer; its last line is `outage N ms, ...`.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn client_that_requests(&self, host: &str, address: &str, seconds: u32) -> Result<Process> {
        self.client_with_limit(host, address, seconds, helper::TRY_LIMIT_MS)
    }

    /// The same with another limit for one request, in milliseconds.
    ///
    /// # Errors
    /// When nothing answers.
    pub fn client_with_limit(
        &self,
        host: &str,
        address: &str,
        seconds: u32,
        limit_ms: u32,
    ) -> Result<Process> {
        let exe = own_executable()?;
        let (seconds, limit) = (seconds.to_string(), limit_ms.to_string());
        let client = self.spawn(host, [&*exe, helper::FLAG, "http-gap", address, &seconds, &limit])?;
        self.hub.eventually("the client's first answer", self.scaled(ANSWER_LIMIT), || {
            if client.stdout().contains("it answers") { Ok(()) } else { Err(client.stderr()) }
        })?;
        Ok(client)
    }

    /// Starts a client on a host that asks for `/` of this address and port every 10 ms until it is answered.
    ///
    /// # Errors
    /// When it does not start.
    pub fn client_that_waits(&self, host: &str, address: &str, seconds: u32) -> Result<Process> {
        let exe = own_executable()?;
        let client = self.spawn(host, [&*exe, helper::FLAG, "http-first", address, &seconds.to_string()])?;
        self.hub.eventually("the client asks", REQUEST_LIMIT, || {
            if client.stdout().contains("asking") { Ok(()) } else { Err(client.stderr()) }
        })?;
        Ok(client)
    }

    /// A time server on a host, for which it is always the same moment; it ends when it is dropped.
    ///
    /// # Errors
    /// When it does not start.
    pub fn time_server(&self, host: &str, unix_s: u64) -> Result<Process> {
        let exe = own_executable()?;
        let server = self.spawn(host, [&*exe, helper::FLAG, "time", "0.0.0.0:123", &unix_s.to_string()])?;
        self.hub.until("the time server", REQUEST_LIMIT, || {
            if server.stdout().contains("listening") { Ok(()) } else { Err(server.stderr()) }
        })?;
        Ok(server)
    }

    /// Sends one datagram of `bytes` bytes from a host to an echo service and waits for its return.
    ///
    /// # Errors
    /// When it does not come back as it was.
    pub fn udp_round_trip(&self, host: &str, address: &str, bytes: u32) -> Result<()> {
        let exe = own_executable()?;
        let size = bytes.to_string();
        let ended = self.run(host, [&*exe, helper::FLAG, "udp-ask", address, &size], REQUEST_LIMIT)?;
        if !ended.status.success() {
            bail!("{}", ended.stderr.trim());
        }
        Ok(())
    }
}
