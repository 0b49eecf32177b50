<?php
# PHP with curl; see xt/clients.t for what each recipe is to print.

function env($name) { return getenv($name); }

class Client {
    public $jar, $head, $body, $status, $url;

    function __construct() { $this->jar = tempnam(sys_get_temp_dir(), 'jar'); }
    function __destruct() { unlink($this->jar); }

    function fetch($url, $options = []) {
        $curl = curl_init($url);
        curl_setopt_array($curl, $options + [
            CURLOPT_CAINFO => env('CA'), CURLOPT_RETURNTRANSFER => true, CURLOPT_HEADER => true,
            CURLOPT_COOKIEJAR => $this->jar, CURLOPT_COOKIEFILE => $this->jar,
        ]);
        $answer = curl_exec($curl);
        if ($answer === false) die(curl_error($curl));
        $size = curl_getinfo($curl, CURLINFO_HEADER_SIZE);
        $this->head = substr($answer, 0, $size);
        $this->body = substr($answer, $size);
        $this->status = curl_getinfo($curl, CURLINFO_HTTP_CODE);
        $this->url = curl_getinfo($curl, CURLINFO_EFFECTIVE_URL);
        curl_close($curl);
        return $this;
    }

    function shown() { return $this->status . ' ' . strtok($this->body, "\n"); }
}

function form($more = []) {
    return http_build_query(['user' => env('LOGIN'), 'pass' => env('PASS')] + $more);
}

# Logs in; with the token opens a page, or returns status and "status" of a refusal.
function open_with($page, $options, $url = null, $slash = '') {
    $client = new Client();
    $client->fetch($url ?? env('BASE') . '/login/?login_only=1', $options);
    $answer = json_decode($client->body, true);
    if (empty($answer['security_token'])) return "$client->status $answer[status]";
    return $client->fetch(env('BASE') . $slash . $answer['security_token'] . $page)->shown();
}

# Logs in, and opens a page with one of the cookies, put into a header by hand.
function with_cookie($page, $choose) {
    $client = new Client();
    $client->fetch(env('BASE') . '/login/?login_only=1', [CURLOPT_POSTFIELDS => form()]);
    preg_match_all('/^Set-Cookie:\s*([^;]*)/mi', $client->head, $cookies);
    $token = json_decode($client->body)->security_token;
    $cookie = $choose($cookies[1]);
    return (new Client())->fetch(env('BASE') . $token . $page, [CURLOPT_COOKIE => $cookie])->shown();
}

function follow($url, $options = []) {
    return (new Client())->fetch($url, $options + [CURLOPT_FOLLOWLOCATION => true]);
}

$base = env('BASE');
$recipes = [
    'json' => fn() => open_with('/json', [CURLOPT_POSTFIELDS => form()]),
    'jar' => fn() => follow("$base/login/", [CURLOPT_POSTFIELDS => form(['goto_uri' => '/jar'])])->shown(),
    'refresh' => function () use ($base) {
        $client = new Client();
        $client->fetch("$base/login/", [CURLOPT_POSTFIELDS => form(['goto_uri' => '/refresh'])]);
        preg_match('/META HTTP-EQUIV="refresh" CONTENT="2;URL=(\/cpsess[^"]*)"/', $client->body, $found);
        return $client->fetch($base . $found[1])->shown();
    },
    'first' => fn() => with_cookie('/first', fn($cookies) => $cookies[0]),
    'named' => fn() => with_cookie('/named', fn($cookies) => current(preg_grep('/^[a-z]*session=/', $cookies))),
    # An array of fields is sent as multipart/form-data.
    'multipart' => fn() => open_with('/multipart',
        [CURLOPT_POSTFIELDS => ['user' => env('LOGIN'), 'pass' => env('PASS'), 'goto_uri' => '/']]),
    'origin' => fn() => open_with('/origin',
        [CURLOPT_POSTFIELDS => form(), CURLOPT_HTTPHEADER => ['Origin: https://localhost']]),
    'foreign' => fn() => open_with('/foreign',
        [CURLOPT_POSTFIELDS => form(), CURLOPT_HTTPHEADER => ['Origin: https://portal.example']]),
    'slashes' => fn() => open_with('/slashes', [CURLOPT_POSTFIELDS => form()], null, '/'),
    'appended' => fn() => follow(env('URL') . '&goto_uri=/appended')->shown(),
    'login' => fn() => follow(env('LOGIN_URL') . '&goto_uri=' . urlencode('/login-form'))->shown(),
    'theme' => function () {
        preg_match('#/frontend/([^/]+)/#', follow(env('THEME'))->url, $theme);
        return $theme[1];
    },
    'wrong' => fn() => open_with('/wrong', [CURLOPT_POSTFIELDS => http_build_query(['user' => env('LOGIN'), 'pass' => 'wrong'])]),
    'get' => fn() => open_with('/get', [], "$base/login/?login_only=1&" . form()),
    'query' => fn() => open_with('/query', [CURLOPT_POST => true, CURLOPT_POSTFIELDS => ''], "$base/login/?login_only=1&" . form()),
    'clear' => fn() => open_with('/clear', [CURLOPT_POSTFIELDS => form(), CURLOPT_FOLLOWLOCATION => true],
        env('CLEAR') . '/login/?login_only=1'),
    'followed' => function () {
        $client = follow(env('CLEAR') . '/login/', [CURLOPT_POSTFIELDS => form()]);
        return preg_match('/cpsess/', $client->url . $client->body) ? 'cpsess' : 'none';
    },
];

foreach (array_slice($argv, 1) as $name) echo "$name: ", $recipes[$name](), "\n";
