package Plack::Middleware::LogMeIn;

use strict;
use warnings;
use parent                qw(Plack::Middleware);
use Plack::App::LogMeIn   ();
use Plack::Util           ();
use Plack::Util::Accessor qw(gateway logins_at_once ports service sessions);

our $VERSION = '0.01';

sub prepare_app {
    my ($self) = @_;
    return if $self->gateway;
    my $gateway = Plack::App::LogMeIn->new(
        logins_at_once => $self->logins_at_once,
        ports          => $self->ports,
        service        => $self->service,
        sessions       => $self->sessions,
    );
    $gateway->prepare_app;
    $self->gateway($gateway);
    return;
}

sub call {
    my ( $self, $env ) = @_;
    my $answer =
        $env->{'logmein.session'} ? $self->_refuse_other($env) : $self->gateway->admit($env);
    return $answer if $answer;
    return $self->response_cb( $self->app->($env), \&_keep_private );
}

# The server has checked the request, but not for which service this app is.
sub _refuse_other {
    my ( $self, $env ) = @_;
    my $service = $self->gateway->service;
    return if !defined $service || $service eq $env->{'logmein.session'}{service};
    return $self->gateway->refusal( $env, 403 );
}

# Private pages must not be cached, unless the app sets Cache-Control itself.
sub _keep_private {
    my ($response) = @_;
    my $headers = $response->[1];
    return if Plack::Util::header_exists( $headers, 'Cache-Control' );
    my $type = Plack::Util::header_get( $headers, 'Content-Type' ) // q{};
    push @{$headers}, 'Cache-Control' => 'no-store' if $type =~ m{\b(?:x?html)\b}i;
    return;
}

1;

__END__

=head1 NAME

Plack::Middleware::LogMeIn - put any PSGI app behind a login

=head1 SYNOPSIS

    use Plack::Builder;

    builder {
        enable 'LogMeIn';
        sub {
            my ($env) = @_;
            return [ 200, [ 'Content-Type' => 'text/plain' ], ["Hello $env->{REMOTE_USER}\n"] ];
        };
    };

=head1 DESCRIPTION

The app only gets requests of logged-in users, below C</cpsess##########/>. All
other requests are answered by L<Plack::App::LogMeIn>: the login page, login URLs
of L<Cpanel::LogMeIn/get_loggedin_url>, logout, and refused requests.

The app needs no change. Its environment contains:

=over 4

=item C<REMOTE_USER>

The user who is logged in.

=item C<SCRIPT_NAME>, C<PATH_INFO>

The security token is moved from PATH_INFO to SCRIPT_NAME, so that links that the
app builds with SCRIPT_NAME contain it.

=item C<logmein.user>, C<logmein.service>, C<logmein.token>

The user; C<cpanel>, C<whm> or C<webmail>; the security token.

=item C<logmein.session>

The session: see L<Cpanel::LogMeIn::Session/WHAT A SESSION IS>.

=item C<logmein.logout>

The path of the logout link.

=back

Client headers with such names are removed before the app is called, and so are
C<Forwarded>, C<Proxy>, C<X-Real-IP> and C<X-Forwarded-Prefix>, which an app may
believe. The other C<X-Forwarded-> headers are kept if a front server has sent the
request: see L<Plack::App::LogMeIn/FRONT SERVERS>. HTML pages of
the app get C<Cache-Control: no-store>, unless the app sets that header itself.

After a login, the browser's request is a GET without a body, even if the refused
request was a POST.

=head1 OPTIONS

=over 4

=item C<service>

C<cpanel>, C<whm> or C<webmail>. By default the port determines it:
see L<Plack::App::LogMeIn/Ports>.

=item C<ports>, C<logins_at_once>, C<sessions>

See L<Plack::App::LogMeIn/OPTIONS>.

=item C<gateway>

A L<Plack::App::LogMeIn> object to work with, on which C<prepare_app> has been
called. The other options are then ignored.

=back

A request that the server has already checked, by L<Plack::App::LogMeIn/judge>, is
not checked again. If it belongs to another service than the option C<service>, it is
refused.

=head1 METHODS

=head2 prepare_app, call

See L<Plack::Middleware>.

=head2 gateway

The L<Plack::App::LogMeIn> object that handles the requests.

=head1 SEE ALSO

L<Plack::App::LogMeIn>, L<Cpanel::LogMeIn>, L<Plack::Middleware>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
