package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler/internal/postgres/postgrestest"
)

// patroni is a Postgres cluster of three nodes that Patroni looks after, with etcd, as Debian
// packages them.
type patroni struct {
	dir   string
	etcd  string // its port
	bin   string // of Postgres
	nodes []*patroniNode
}

type patroniNode struct {
	name      string
	port, api string
	process   *process
}

// newPatroni returns once one node leads, one is its synchronous standby and one follows.
func newPatroni(t *testing.T, bin string) *patroni {
	t.Helper()
	for _, program := range []string{"etcd", "patroni"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed (apt-get install patroni etcd-server)")
		}
	}
	c := &patroni{dir: ownedFolder(t), bin: bin}
	ports := freePorts(t, 8)
	c.etcd = ports[0]
	client, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	serve(t, asOwner(t, c.dir, lookPath(t, "etcd"), "--name", "etcd", "--data-dir", filepath.Join(c.dir, "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "etcd="+peer))
	for i := range 3 {
		n := &patroniNode{name: fmt.Sprintf("node%d", i+1), port: ports[2+2*i], api: ports[3+2*i]}
		c.nodes = append(c.nodes, n)
		c.start(t, n)
	}
	c.awaitWhole(t)
	return c
}

// ownedFolder is a folder of the user as whom the servers run.
func ownedFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reconciler-patroni-") // its name is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		info, err := os.Stat(postgrestest.Server(t).Dir())
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // all are taken until the last one is found
		ports[i] = strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs Patroni on a node. The times are its own defaults: they decide how long a failover
// takes.
func (c *patroni) start(t *testing.T, n *patroniNode) {
	t.Helper()
	type object = map[string]any
	config, err := json.Marshal(object{
		"scope": "reconciler", "name": n.name,
		"restapi": object{"listen": "127.0.0.1:" + n.api, "connect_address": "127.0.0.1:" + n.api},
		"etcd3":   object{"host": "127.0.0.1:" + c.etcd},
		"bootstrap": object{
			"dcs": object{
				"ttl": 30, "loop_wait": 10, "retry_timeout": 10,
				"synchronous_mode": true, // a commit that was confirmed outlives its server
				"postgresql":       object{"use_pg_rewind": true, "use_slots": true},
			},
			"initdb": []object{{"encoding": "UTF8"}, {"auth": "trust"}},
		},
		"postgresql": object{
			"listen": "127.0.0.1:" + n.port, "connect_address": "127.0.0.1:" + n.port,
			"data_dir": filepath.Join(c.dir, n.name), "bin_dir": c.bin, "pgpass": filepath.Join(c.dir, n.name+".pgpass"),
			"authentication": object{"superuser": object{"username": "postgres"}, "replication": object{"username": "replicator"}},
			"pg_hba":         []string{"local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"},
			"parameters":     object{"unix_socket_directories": c.dir, "dynamic_shared_memory_type": "mmap", "wal_log_hints": "on"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, n.name+".yml") // JSON is YAML
	if err := os.WriteFile(path, config, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.killServer(t, n) }) // runs after Patroni has ended, as a rule for nothing
	n.process = serve(t, asOwner(t, c.dir, lookPath(t, "patroni"), path))
}

// killServer kills a node's Postgres. Its children end with it.
func (c *patroni) killServer(t *testing.T, n *patroniNode) {
	t.Helper()
	data := filepath.Join(c.dir, n.name)
	content, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	// The file of a killed server stays, and its number may be another process's by now.
	command, err := os.ReadFile("/proc/" + line + "/cmdline")
	if err != nil || !strings.Contains(string(command), data) {
		return
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

// killNode is what a machine does that loses its power.
func (c *patroni) killNode(t *testing.T, n *patroniNode) {
	t.Helper()
	n.process.signal(t, syscall.SIGKILL)
	c.killServer(t, n)
	n.process.wait(t) // its output ends with its children
}

// roles asks the nodes until one answers: who has which role, of those that run and follow the
// present timeline.
func (c *patroni) roles() map[string]string {
	client := http.Client{Timeout: 5 * time.Second}
	for _, n := range c.nodes {
		response, err := client.Get("http://127.0.0.1:" + n.api + "/cluster")
		if err != nil {
			continue
		}
		var cluster struct {
			Members []struct {
				Name, Role, State string
				Timeline          int
			}
		}
		err = json.NewDecoder(response.Body).Decode(&cluster)
		_ = response.Body.Close()
		if err != nil {
			continue
		}
		roles, newest := make(map[string]string), 0
		for _, m := range cluster.Members {
			newest = max(newest, m.Timeline)
		}
		for _, m := range cluster.Members {
			if (m.State == "running" || m.State == "streaming") && m.Timeline == newest {
				roles[m.Role] = m.Name
			}
		}
		return roles
	}
	return nil
}

func (c *patroni) awaitWhole(t *testing.T) {
	t.Helper()
	eventually(t, "a leader, a synchronous standby and a replica", func() bool {
		for _, n := range c.nodes {
			if !n.process.running() {
				t.Fatalf("Patroni on %s has ended: %s", n.name, n.process.stderr.tail())
			}
		}
		roles := c.roles()
		return roles["leader"] != "" && roles["sync_standby"] != "" && roles["replica"] != ""
	})
}

func (c *patroni) leader(t *testing.T) *patroniNode {
	t.Helper()
	name := c.roles()["leader"]
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	t.Fatalf("no node leads: %v", c.roles())
	return nil
}

// switchOver is a planned one, to the synchronous standby.
func (c *patroni) switchOver(t *testing.T) {
	t.Helper()
	n := c.leader(t)
	order, err := json.Marshal(map[string]string{"leader": n.name})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+n.api+"/switchover", bytes.NewReader(order))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("switchover: %s: %s", response.Status, answer)
	}
}

// url leads to whichever node can be written to, as docs/settings.md says.
func (c *patroni) url() string {
	hosts := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		hosts[i] = "127.0.0.1:" + n.port
	}
	query := url.Values{"target_session_attrs": {"read-write"}, "sslmode": {"disable"}}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/postgres?" + query.Encode()
}
