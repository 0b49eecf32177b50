// Go with net/http; see xt/clients.t for what each recipe is to print.
package main

import (
    "bytes"
    "crypto/tls"
    "crypto/x509"
    "encoding/json"
    "fmt"
    "io"
    "mime/multipart"
    "net/http"
    "net/http/cookiejar"
    "net/url"
    "os"
    "regexp"
    "strings"
)

var (
    base   = os.Getenv("BASE")
    only   = base + "/login/?login_only=1"
    server = trusted()
)

type answer struct {
    status  int
    cookies []*http.Cookie
    body    string
    url     string
}

func must(err error) {
    if err != nil {
        fmt.Println(err)
        os.Exit(1)
    }
}

func trusted() *http.Transport {
    pem, err := os.ReadFile(os.Getenv("CA"))
    must(err)
    pool := x509.NewCertPool()
    pool.AppendCertsFromPEM(pem)
    return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
}

func client() *http.Client {
    jar, err := cookiejar.New(nil)
    must(err)
    return &http.Client{Jar: jar, Transport: server}
}

func form(more ...string) url.Values {
    values := url.Values{"user": {os.Getenv("LOGIN")}, "pass": {os.Getenv("PASS")}}
    for i := 0; i < len(more); i += 2 {
        values.Set(more[i], more[i+1])
    }
    return values
}

func send(c *http.Client, request *http.Request) answer {
    response, err := c.Do(request)
    must(err)
    defer response.Body.Close()
    body, err := io.ReadAll(response.Body)
    must(err)
    return answer{response.StatusCode, response.Cookies(), string(body), response.Request.URL.String()}
}

func request(method, target, kind, body string) *http.Request {
    made, err := http.NewRequest(method, target, strings.NewReader(body))
    must(err)
    if kind != "" {
        made.Header.Set("Content-Type", kind)
    }
    return made
}

func get(c *http.Client, target string) answer {
    return send(c, request("GET", target, "", ""))
}

func post(target string, values url.Values) *http.Request {
    return request("POST", target, "application/x-www-form-urlencoded", values.Encode())
}

func shown(a answer) string {
    return fmt.Sprintf("%d %s", a.status, strings.Split(a.body, "\n")[0])
}

// With the token opens a page, or returns status and "status" of a refusal.
func openWith(c *http.Client, page, slash string, made *http.Request) string {
    a := send(c, made)
    var said struct {
        Status int    `json:"status"`
        Token  string `json:"security_token"`
    }
    must(json.Unmarshal([]byte(a.body), &said))
    if said.Token == "" {
        return fmt.Sprintf("%d %d", a.status, said.Status)
    }
    return shown(get(c, base+slash+said.Token+page))
}

func withOrigin(page, origin string) string {
    made := post(only, form())
    made.Header.Set("Origin", origin)
    return openWith(client(), page, "", made)
}

// Opens a page with one of the cookies, put into a header by hand.
func withCookie(page string, choose func([]*http.Cookie) *http.Cookie) string {
    a := send(client(), post(only, form()))
    token := regexp.MustCompile(`"security_token":"([^"]+)"`).FindStringSubmatch(a.body)[1]
    cookie := choose(a.cookies)
    made := request("GET", base+token+page, "", "")
    made.Header.Set("Cookie", cookie.Name+"="+cookie.Value)
    return shown(send(client(), made))
}

func first(cookies []*http.Cookie) *http.Cookie { return cookies[0] }

func named(cookies []*http.Cookie) *http.Cookie {
    for _, cookie := range cookies {
        if strings.HasSuffix(cookie.Name, "session") {
            return cookie
        }
    }
    return nil
}

func refresh() string {
    c := client()
    c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
    a := send(c, post(base+"/login/", form("goto_uri", "/refresh")))
    pattern := regexp.MustCompile(`META HTTP-EQUIV="refresh" CONTENT="2;URL=(/cpsess[^"]*)"`)
    return shown(get(c, base+pattern.FindStringSubmatch(a.body)[1]))
}

func multipartForm() string {
    var body bytes.Buffer
    writer := multipart.NewWriter(&body)
    for name, values := range form("goto_uri", "/") {
        must(writer.WriteField(name, values[0]))
    }
    must(writer.Close())
    made := request("POST", only, writer.FormDataContentType(), body.String())
    return openWith(client(), "/multipart", "", made)
}

func theme() string {
    a := get(client(), os.Getenv("THEME"))
    return regexp.MustCompile(`/frontend/([^/]+)/`).FindStringSubmatch(a.url)[1]
}

func followed() string {
    a := send(client(), post(os.Getenv("CLEAR")+"/login/", form()))
    if strings.Contains(a.url+a.body, "cpsess") {
        return "cpsess"
    }
    return "none"
}

var recipes = map[string]func() string{
    "json":      func() string { return openWith(client(), "/json", "", post(only, form())) },
    "jar":       func() string { return shown(send(client(), post(base+"/login/", form("goto_uri", "/jar")))) },
    "refresh":   refresh,
    "first":     func() string { return withCookie("/first", first) },
    "named":     func() string { return withCookie("/named", named) },
    "multipart": multipartForm,
    "origin":    func() string { return withOrigin("/origin", "https://localhost") },
    "foreign":   func() string { return withOrigin("/foreign", "https://portal.example") },
    "slashes":   func() string { return openWith(client(), "/slashes", "/", post(only, form())) },
    "appended":  func() string { return shown(get(client(), os.Getenv("URL")+"&goto_uri=/appended")) },
    "login":     func() string { return shown(get(client(), os.Getenv("LOGIN_URL")+"&goto_uri=%2flogin-form")) },
    "theme":     theme,
    "wrong":     func() string { return openWith(client(), "/wrong", "", post(only, form("pass", "wrong"))) },
    "get": func() string {
        return openWith(client(), "/get", "", request("GET", only+"&"+form().Encode(), "", ""))
    },
    "query": func() string {
        return openWith(client(), "/query", "", post(only+"&"+form().Encode(), url.Values{}))
    },
    "clear": func() string {
        return openWith(client(), "/clear", "", post(os.Getenv("CLEAR")+"/login/?login_only=1", form()))
    },
    "followed": followed,
}

func main() {
    for _, name := range os.Args[1:] {
        fmt.Printf("%s: %s\n", name, recipes[name]())
    }
}
