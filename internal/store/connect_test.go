package store_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"pgregory.net/rapid"

	"reconciler/internal/order"
	"reconciler/internal/store"
)

// echoServer refuses every session with an error that repeats all that the client sent.
func echoServer(t *testing.T, code string) (host, port string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go refuse(conn, code)
		}
	}()
	host, port, _ = net.SplitHostPort(listener.Addr().String())
	return host, port
}

func refuse(conn net.Conn, code string) {
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	for {
		message, err := backend.ReceiveStartupMessage()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := conn.Write([]byte("N")); err != nil {
				return
			}
		case *pgproto3.StartupMessage:
			backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: fmt.Sprint("refused: ", m.Parameters)})
			_ = backend.Flush()
			return
		default:
			return
		}
	}
}

// connectErrors are all that is said of a URL, up to the first statement.
func connectErrors(ctx context.Context, url string) (said []string) {
	tell := func(err error) {
		if err != nil {
			said = append(said, err.Error())
		}
	}
	tell(store.CheckURL(url))
	s, err := store.Open(ctx, url)
	tell(err)
	if err != nil {
		return said
	}
	defer s.Close()
	_, err = s.Now(ctx)
	tell(err)
	if len(said) == 0 {
		return nil
	}
	_, err = s.MigrationStatus(ctx)
	tell(err)
	_, err = s.Backlog(ctx)
	tell(err)
	tell(s.Heartbeat(ctx, store.Instance{Worker: "test", Version: "test"}))
	tell(s.Insert(ctx, []store.NewOrder{{MID: mid, TID: tid, MerOrderID: "319400000001", OrderAmount: 1}}))
	_, err = s.Record(ctx, []order.Outcome{settled(order.Order{ID: 1})})
	tell(err)
	return said
}

// leaked is a part of the password that a text holds. Parts that words have by chance do not count:
// a part has two letters that they hardly use.
func leaked(text, password string) string {
	for i := range max(0, len(password)-3) {
		part := password[i : i+4]
		if strings.Count(strings.Map(func(r rune) rune {
			if strings.ContainsRune("QXZJqxzj", r) {
				return 'q'
			}
			return r
		}, part), "q") >= 2 && strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

func TestNoErrorHasAPartOfAPassword(t *testing.T) {
	t.Parallel()
	host, port := echoServer(t, "28P01")
	unknownParameter, unknownPort := echoServer(t, "42704")
	forms := map[string]string{
		"a URL":                    "postgres://user:%s@" + host + ":" + port + "/db",
		"a URL with a query":       "postgres://user:%s@" + host + ":" + port + "/db?sslmode=prefer&pool_max_conns=2",
		"a password in the query":  "postgres://user@" + host + ":" + port + "/db?password=%s&sslmode=disable",
		"a last one in the query":  "postgresql://" + unknownParameter + ":" + unknownPort + "/db?user=u&password=%s",
		"several hosts":            "postgres://user:%s@" + host + ":" + port + "," + host + ":1/db",
		"IPv6":                     "postgres://user:%s@[::1]:1/db",
		"no host":                  "postgres://user:%s/db",
		"another scheme":           "mysql://user:%s@" + host + "/db",
		"no scheme":                "user:%s@" + host + ":" + port + "/db",
		"a bad port":               "postgres://user:%s@" + host + ":notaport/db",
		"pairs":                    "host=" + host + " port=" + port + " user=user password=%s dbname=db",
		"pairs with blanks":        "host = " + host + " port = " + port + " user = user password = %s dbname = db",
		"pairs, the password last": "host=" + host + " port=" + port + " dbname=db user=user password=%s",
		"pairs, the password first": "password=%s host=" + unknownParameter + " port=" + unknownPort +
			" dbname=db user=user sslmode=prefer",
		"pairs in quotes":           "host=" + host + " port=" + port + " password='%s' dbname=db user=user",
		"pairs, an unclosed quote":  "host=" + host + " port=" + port + " password='%s dbname=db user=user",
		"pairs without a host":      "password=%s user=user dbname=db port=1",
		"the password alone":        "%s",
		"a bad value":               "postgres://user:%s@" + host + "/db?connect_timeout=soon",
		"a service that is not one": "postgres://user:%s@" + host + "/db?service=none&servicefile=/nowhere",
	}
	names := slices.Sorted(maps.Keys(forms))
	rapid.Check(t, func(rt *rapid.T) {
		password := rapid.StringOfN(rapid.SampledFrom([]rune("QXZJqxzj0189QXZJqxzj@:/?#%&= '\\+;,[]")), 6, 20, -1).Draw(rt, "password")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for range 6 {
			name := rapid.SampledFrom(names).Draw(rt, "form")
			written := rapid.SampledFrom([]string{
				password, url.QueryEscape(password), url.PathEscape(password), strings.ReplaceAll(password, "'", `\'`),
			}).Draw(rt, "written")
			if name == "no host" && strings.Contains(written, "@") {
				continue // then it has a host
			}
			for _, text := range connectErrors(ctx, fmt.Sprintf(forms[name], written)) {
				if part := leaked(text, password); part != "" {
					rt.Fatalf("%s: %q of the password is in %q", name, part, text)
				}
			}
		}
	})
}

func TestPasswordsFromElsewhere(t *testing.T) {
	host, port := echoServer(t, "28P01")
	const password = "QXZJqxzj0189"
	t.Setenv("PGPASSWORD", password)
	for _, name := range []string{"", password, "db-" + password} {
		for _, text := range connectErrors(t.Context(), "postgres://user@"+host+":"+port+"/"+name) {
			if leaked(text, password) != "" {
				t.Errorf("PGPASSWORD is in %q", text)
			}
		}
	}
	for _, text := range connectErrors(t.Context(), "host="+password+".invalid user=u dbname=d connect_timeout=2") {
		if leaked(text, password) != "" {
			t.Errorf("PGPASSWORD is in %q", text)
		}
	}
	t.Setenv("PGPASSWORD", "")
	file := filepath.Join(t.TempDir(), "services")
	if err := os.WriteFile(file, []byte("[shop]\nhost="+host+"\nport="+port+"\nuser=u\npassword="+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGSERVICEFILE", file)
	for _, service := range []string{"shop", "none"} {
		said := connectErrors(t.Context(), "service="+service)
		if len(said) == 0 || leaked(strings.Join(said, " "), password) != "" {
			t.Errorf("service %s: %q", service, said)
		}
	}
}

// Without a host, the driver reads a password with commas as hosts.
func TestPasswordReadAsHosts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for name servers")
	}
	for _, password := range []string{",QXZJqxzj", "1,QXZJqxzj", "1,QXZJqxzj:2", "QXZJ:1,qxzjQX:2"} {
		for _, text := range connectErrors(t.Context(), "postgres://user:"+password+"/db?connect_timeout=1") {
			if part := leaked(text, password); part != "" {
				t.Errorf("%q of the password is in %q", part, text)
			}
		}
	}
}

func TestURLsThatCanBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"postgres://user:pa@ss@host/db",
		"postgres://user:pa/ss@host/db",
		"postgres://user:pa?ss@host/db",
		"postgres://user:pa#ss@host/db",
		"postgres://user:pa ss@host/db",
		"postgres://user:pa%ss@host/db",
		"postgres://user:pa%@host/db",
		"postgres://user:p%4@host/db",
		"host=db password=my secret port=1",
		"host=db password=x host=y",
		"dbname=db password=x database=y",
		"password='a'b host=db",
		"password=a=b c",
		"nonsense",
	} {
		if err := store.CheckURL(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	for _, text := range []string{
		"postgres://user:pa%40ss@host/db",
		"postgres://user:pa:ss@host/db?search_path=reconciler",
		"postgres:///db?host=/var/run/postgresql",
		"postgresql://u:p@h1:1,h2:2/db?target_session_attrs=read-write",
		"postgres://u:p@[::1]:5432/db",
		"host=db password=a=b port=1",
		"host = db password = 'my \\' secret' port = 1",
		"host=/tmp dbname='' ",
		"service=", // an empty one is none
	} {
		if err := store.CheckURL(text); err != nil && !strings.Contains(err.Error(), "service") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Two tries of sslmode=prefer are one trouble, and the refusal of the user matters most.
func TestConnectErrorsSayWhatMatters(t *testing.T) {
	t.Parallel()
	host, port := echoServer(t, "28P01")
	strangers, strangersPort := echoServer(t, "28000") // of a role that is not there, without a password
	for url, want := range map[string]string{
		"postgres://user@" + strangers + ":" + strangersPort + "/db":                         "see whether the role exists and may log in",
		"postgres://user:secret@" + host + ":" + port + "/db?sslmode=prefer":                 "database at " + host + ":" + port + ": the server refuses the user or the password (SQLSTATE 28P01)",
		"postgres://user:secret@" + host + ":" + port + "," + host + ":1/db?sslmode=disable": "the server refuses the user or the password",
		"postgres://user:secret@" + host + ":1," + host + ":" + port + "/db?sslmode=disable": "the server refuses the user or the password",
		"postgres://user:secret@" + host + ":1/db":                                           "connection refused",
		"postgres://user:secret@nobody.invalid/db":                                           "the host name cannot be resolved",
		"host=/nowhere user=u password='x y'":                                                "there is no socket",
	} {
		s, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Now(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		if !store.IsTransient(err) {
			t.Errorf("%s: %v is taken as lasting", url, err)
		}
	}
}
